// What owns runs of prototype PTEs: a segment, as the PFN database and the pool of prototype PTEs see it. ControlArea
// (section/control_area.h) is the only kind.
#pragma once

#include <cstdint>
#include <span>

#include "pagoda/base/units.h"
#include "pagoda/mm/pte/pte_codec.h"

namespace pagoda::mm {

class PrototypeOwner {
 public:
  // kFileData: modified pages go back to the file, and entries of pages that left memory are as in the template again.
  // kOther: a page that came from a file and is modified belongs to the paging files from then on.
  enum class Kind : std::uint8_t { kFileData, kOther };

  PrototypeOwner(std::uint32_t number, Kind kind) : number_(number), is_file_data_(kind == Kind::kFileData) {}
  PrototypeOwner(const PrototypeOwner&) = delete;
  PrototypeOwner& operator=(const PrototypeOwner&) = delete;
  virtual ~PrototypeOwner() = default;

  [[nodiscard]] std::uint32_t number() const { return number_; }  // From 1.
  [[nodiscard]] bool is_file_data() const { return is_file_data_; }
  // Whether sections or views keep it. Called under the PFN lock.
  [[nodiscard]] virtual bool is_used() const = 0;
  // What the prototype PTEs of a page of the pool are at the start, from the address on; entries behind the end of the
  // segment stay as they are. Called under the PFN lock.
  virtual void fill_template(const PteCodec& codec, VirtualAddress first, std::span<RawPte> entries) const = 0;

  PageCount resident;  // Its entries that are valid or in transition. NT: NumberOfPfnReferences.

 private:
  const std::uint32_t number_;
  const bool is_file_data_;
};

}  // namespace pagoda::mm
