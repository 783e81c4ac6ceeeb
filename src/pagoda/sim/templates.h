// The templates of a host: images that machines know to be the same in all of them. Each is one section of the host, over
// a file on one of its disks, and lies in the guest-physical memory of every machine whose programs begin with it (a
// direct map). So a block that two machines read is one frame of the host from the first read on, which no scan has to
// find, and a write copies it into the writer's own memory.
//
// A template is public: who times an access to it learns whether anybody read that block, and nothing about what a machine
// made of it. So it needs no trust domain.
//
// Locking: none; the event loop's. Source: reference/virtualization.md section 5, "Direct map".
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/hv/partition.h"
#include "pagoda/machine/sim/sim_processor.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/scenario/program_config.h"
#include "pagoda/sim/scenario/vm_config.h"
#include "pagoda/sim/shared_file.h"

namespace pagoda::sim {

class Templates {
 public:
  // `disks` are the models of the host's. The host outlives this. Fails with one line: an image cannot be read, is more
  // than its disk holds, or cannot be copied to it; the host refuses the section.
  static Input<std::unique_ptr<Templates>> open(std::span<const TemplateConfig> configs, mm::MemoryManager& host,
                                                machine::Processor& cpu, std::span<const machine::DiskModel> disks,
                                                ImageOpener& images);
  // Requires: no machine has one of them.
  ~Templates();
  Templates(const Templates&) = delete;
  Templates& operator=(const Templates&) = delete;

  [[nodiscard]] SharedFile& file(std::size_t number) const { return *templates_[number].file; }
  // The machine with those templates in its guest-physical memory that its programs begin with.
  [[nodiscard]] VmConfig with_direct_maps(VmConfig vm) const;

  // Counts pages of templates that machines have in memory.
  class Census {
   public:
    explicit Census(const Templates& templates);
    // Pages of templates that the host has in memory for the machine.
    PageCount add(hv::Partition& partition);
    // The same of all machines, each page once.
    [[nodiscard]] PageCount distinct() const { return distinct_; }

   private:
    const Templates& templates_;
    std::vector<std::vector<bool>> seen_;  // By template, by page.
    PageCount distinct_;
  };

 private:
  struct Template {
    std::unique_ptr<SharedFile> file;
    mm::Section* section = nullptr;
  };
  Templates(mm::MemoryManager& host, machine::Processor& cpu) : host_(host), cpu_(cpu) {}
  [[nodiscard]] std::size_t number_of(const std::string& name) const;

  mm::MemoryManager& host_;
  machine::Processor& cpu_;
  std::vector<Template> templates_;
};

}  // namespace pagoda::sim
