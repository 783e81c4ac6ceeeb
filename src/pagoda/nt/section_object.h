// What a section handle refers to: one reference to a section of the memory manager. NT: the object around SECTION.
#pragma once

#include "pagoda/mm/section/section.h"
#include "pagoda/nt/kernel.h"
#include "pagoda/nt/objects.h"

namespace pagoda::nt {

class SectionObject : public Object {
 public:
  static constexpr ObjectType kType = ObjectType::kSection;

  // Takes over the reference that Sections::create gave.
  SectionObject(Kernel& kernel, mm::Section& section) : Object(kType), kernel_(kernel), section_(section) {}
  ~SectionObject() override {
    const ProcessorLease cpu(kernel_);
    kernel_.manager().sections().dereference(*cpu, section_);
  }

  [[nodiscard]] mm::Section& section() const { return section_; }

 private:
  Kernel& kernel_;
  mm::Section& section_;
};

}  // namespace pagoda::nt
