#include "tests/support/mm_world.h"

#include <fmt/format.h>

#include <array>

namespace pagoda::mm::testing {

World World::random(Random& random) {
  World w;
  constexpr std::array kFormats{machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64};
  w.paging = kFormats[random.below(3)];
  w.refill = random.chance(0.5) ? machine::TlbRefill::kHardware : machine::TlbRefill::kSoftware;
  w.tlb = random.chance(0.5) ? machine::TlbGeometry::kLarge : machine::TlbGeometry::kRealistic;
  w.frames = 64 + random.below(137);
  w.processors = 1 + static_cast<unsigned>(random.below(2));
  w.spaces = 1 + static_cast<unsigned>(random.below(w.frames < 80 ? 2 : 3));
  w.paging_files = 1 + static_cast<unsigned>(random.below(2));
  w.file_minimum = 256;
  w.file_maximum = random.chance(0.5) ? 256 : 256 + random.below(512);
  w.files = 1 + static_cast<unsigned>(random.below(2));
  w.file_pages = random.below(64);
  w.read_cluster = 1U << random.below(4);
  w.write_cluster = 1U << random.below(5);
  w.minimum_free = 8 + random.below(8);
  w.plenty_free = w.minimum_free + random.below(12);
  w.modified_maximum = random.below(24);
  w.commit_reserve = 9 + random.below(12);
  w.working_set_minimum = random.below(12);
  w.working_set_maximum = 12 + random.below(80);
  w.hard_maximum = random.chance(0.3);
  w.yields = random.chance(0.4);
  if (random.chance(0.3)) w.read_errors = 0.05;
  if (random.chance(0.3)) w.write_errors = 0.05;
  w.seed = random.next();
  if (random.chance(0.5)) w.compression_budget = 1 + random.below(8);
  if (random.chance(0.5)) w.most_compressed = 24 + random.below(80);
  w.find_zero_pages = random.chance(0.7);
  w.random_victims = random.chance(0.2);
  return w;
}

machine::SimMachineConfig World::machine_config() const {
  machine::SimMachineConfig config{
      .frames = PageCount(frames), .paging = paging, .processors = processors, .tlb = tlb, .refill = refill};
  for (unsigned disk = 0; disk < paging_files; ++disk)
    config.disks.push_back({.name = fmt::format("disk{}", disk), .depth = 4});
  config.disks.push_back({.name = "files", .depth = 4});
  return config;
}

MemoryManagerConfig World::manager_config() const {
  MemoryManagerConfig config{
      .tunables = Tunables{.read_cluster = read_cluster,
                           .write_cluster = write_cluster,
                           .minimum_free = PageCount(minimum_free),
                           .plenty_free = PageCount(plenty_free),
                           .modified_maximum = PageCount(modified_maximum),
                           .commit_reserve = PageCount(commit_reserve),
                           .find_zero_pages = find_zero_pages,
                           .compression_budget = PageCount(compression_budget),
                           .most_compressed = ByteCount(most_compressed),
                           .victim = random_victims ? Tunables::Victim::kRandom : Tunables::Victim::kClock}};
  for (unsigned file = 0; file < paging_files; ++file)
    config.paging_files.push_back({.name = fmt::format("pagefile{}", file),
                                   .disk = file,
                                   .minimum = bytes_of(PageCount(file_minimum)),
                                   .maximum = bytes_of(PageCount(file_maximum))});
  return config;
}

WorkingSet::Limits World::limits() const {
  return {.minimum = PageCount(working_set_minimum),
          .maximum = PageCount(working_set_maximum),
          .kind = hard_maximum ? WorkingSet::Limits::Maximum::kHard : WorkingSet::Limits::Maximum::kSoft};
}

std::string to_string(const World& w) {
  constexpr std::array<std::string_view, 3> kFormats{"kX86", "kPae", "kAmd64"};
  return fmt::format(
      "{{.paging = machine::PteFormat::{}, .refill = machine::TlbRefill::{}, .tlb = machine::TlbGeometry::{}, "
      ".frames = {}, .processors = {}, .spaces = {}, .paging_files = {}, .file_minimum = {}, .file_maximum = {}, "
      ".files = {}, .file_pages = {}, .read_cluster = {}, .write_cluster = {}, .minimum_free = {}, .plenty_free = {}, "
      ".modified_maximum = {}, "
      ".commit_reserve = {}, .working_set_minimum = {}, .working_set_maximum = {}, .hard_maximum = {}, .yields = {}, "
      ".compression_budget = {}, .most_compressed = {}, .find_zero_pages = {}, .random_victims = {}, .read_errors = "
      "{}, .write_errors = {}, .seed = {:#x}}}",
      kFormats[static_cast<std::size_t>(w.paging)],
      w.refill == machine::TlbRefill::kHardware ? "kHardware" : "kSoftware",
      w.tlb == machine::TlbGeometry::kLarge ? "kLarge" : "kRealistic", w.frames, w.processors, w.spaces, w.paging_files,
      w.file_minimum, w.file_maximum, w.files, w.file_pages, w.read_cluster, w.write_cluster, w.minimum_free,
      w.plenty_free, w.modified_maximum, w.commit_reserve, w.working_set_minimum, w.working_set_maximum, w.hard_maximum,
      w.yields, w.compression_budget, w.most_compressed, w.find_zero_pages, w.random_victims, w.read_errors,
      w.write_errors, w.seed);
}

}  // namespace pagoda::mm::testing
