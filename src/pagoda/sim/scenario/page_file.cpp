// [[page_file]].
#include <fmt/format.h>

#include <utility>

#include "pagoda/mm/memory_manager.h"
#include "pagoda/sim/scenario/sections.h"

namespace pagoda::sim {

void read_page_file(TomlTable& t, SystemDraft& draft) {
  mm::PagingFileConfig file;
  file.name = t.text("name", file.name);
  const std::optional<unsigned> disk = read_disk_name(t, draft);
  t.require("minimum");
  file.minimum = t.size("minimum", 1_MiB);
  file.maximum = t.size("maximum", file.minimum);
  if (file.minimum < 1_MiB) t.wrong("minimum", "a paging file has at least 1MiB");
  if (file.maximum < file.minimum) t.wrong("maximum", "is below the minimum");
  const PageCount largest = mm::largest_paging_file(machine::paging_mode(draft.paging));
  if (pages_of(file.maximum) > largest)
    t.wrong("maximum", fmt::format("is more than a PTE can name; at most {}", to_string(bytes_of(largest))));
  if (disk) {
    file.disk = *disk;
    const machine::DiskModel& model = draft.disks[*disk];
    if (file.maximum > model.capacity) {
      t.wrong(t.has("maximum") ? "maximum" : "minimum",
              fmt::format("{} is more than its disk \"{}\" holds ({}); make one smaller or the other larger",
                          to_string(file.maximum), model.name, to_string(model.capacity)));
    }
  }
  std::vector<mm::PagingFileConfig>& files = draft.system.manager.paging_files;
  if (files.size() == mm::PagingFiles::kMaxFiles) {
    t.wrong("name",
            fmt::format("there are {} paging files already, the most there can be", mm::PagingFiles::kMaxFiles));
  }
  files.push_back(std::move(file));
}

}  // namespace pagoda::sim
