// Rows 2 and 3: machines that have much alike. What they hold is made up so that an omniscient merger would find what was
// published, and so the levels prove nothing (they are marked as calibrated); that the scan finds it, is ours.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/esx.h"
#include "bench/harness.h"
#include "bench/host.h"
#include "pagoda/mm/combine/combiner.h"

namespace pagoda::bench {

namespace {

constexpr PageCount kPagesOfTurn{4096};
constexpr unsigned kPasses = 2;

// What each page holds: equal numbers are equal contents, and zero is zeros.
using Contents = std::vector<std::uint64_t>;
constexpr std::uint64_t kZeros = 0;

class ContentNumbers {
 public:
  std::uint64_t next() { return ++last_; }

 private:
  std::uint64_t last_ = kZeros;
};

struct Shared {
  PageCount zeros;
  PageCount saved;   // Zeros apart.
  PageCount copies;  // The frames that others' pages share.
  [[nodiscard]] PageCount reclaimed() const { return zeros + saved; }
  [[nodiscard]] PageCount shared() const { return reclaimed() + copies; }
};

// What is shared on a host of one domain that holds these pages, once it was scanned.
Shared share(const Contents& contents) {
  const PageCount pages(contents.size());
  Host host(HostConfig::quiet(pages + PageCount(8192)));
  const VirtualAddress base = host.commit(pages);
  for (std::size_t page = 0; page < contents.size(); ++page)
    must(host.cpu().store<std::uint64_t>(base + bytes_of(PageCount(page)), contents[page]), "store");
  mm::Combiner& combiner = host.manager().combiner();
  must(combiner.allow(host.space()), "sharing");
  PageCount looked;
  while (looked < pages * kPasses) {
    const PageCount now = combiner.scan(host.cpu(), {kPagesOfTurn, kPagesOfTurn});
    if (now.is_zero()) break;
    looked += now;
  }
  const mm::Combiner::Statistics found = combiner.statistics();
  return {.zeros = PageCount(host.manager().counters().sharing_zeros), .saved = found.saved, .copies = found.shared};
}

// --- 2: one to ten equal machines of 40 MiB ---

constexpr PageCount kMachine = pages_of(40_MiB);
constexpr PageCount kReclaimedOfOne = pages_of(5_MiB);
constexpr double kZerosOfOne = 55;  // Percent of that.
constexpr double kLevelOfTen = 67;  // Percent of all memory.
constexpr std::array<std::size_t, 5> kMachines = {1, 2, 4, 7, 10};

PageCount percent_of(PageCount pages, double percent) {
  return PageCount(static_cast<std::uint64_t>(std::llround(counted(pages) * percent / 100)));
}

// Zeros; pages that every machine has, some of them twice; and what is a machine's own.
Contents equal_machines(std::size_t machines) {
  const PageCount zeros = percent_of(kReclaimedOfOne, kZerosOfOne);
  const PageCount twice = kReclaimedOfOne - zeros;
  const PageCount common = percent_of(kMachine, kLevelOfTen) - kReclaimedOfOne;
  ContentNumbers numbers;
  Contents of_all(common.value());
  std::ranges::generate(of_all, [&] { return numbers.next(); });
  Contents contents;
  for (std::size_t machine = 0; machine < machines; ++machine) {
    contents.insert(contents.end(), zeros.value(), kZeros);
    contents.insert(contents.end(), of_all.begin(), of_all.end());
    contents.insert(contents.end(), of_all.begin(), of_all.begin() + static_cast<std::ptrdiff_t>(twice.value()));
    while (contents.size() < kMachine.value() * (machine + 1)) contents.push_back(numbers.next());
  }
  return contents;
}

// --- 3: profiles of production hosts ---

// In MiB (figure 5).
struct Profile {
  const char* name;
  const char* what;
  std::uint64_t total;
  std::uint64_t shared;
  std::uint64_t reclaimed;
};
constexpr std::array<Profile, 3> kProfiles = {
    {{.name = "a", .what = "10 of Windows NT", .total = 2048, .shared = 880, .reclaimed = 673},
     {.name = "b", .what = "9 of Linux", .total = 1846, .shared = 539, .reclaimed = 345},
     {.name = "c", .what = "5 of Linux", .total = 1658, .shared = 165, .reclaimed = 120}}};
constexpr std::uint64_t kPagesOfMib = 16;  // A sixteenth of the published size.

Contents contents_of(const Profile& profile) {
  const std::size_t distinct = (profile.shared - profile.reclaimed) * kPagesOfMib;
  ContentNumbers numbers;
  Contents contents(distinct);
  std::ranges::generate(contents, [&] { return numbers.next(); });
  while (contents.size() < profile.shared * kPagesOfMib) contents.push_back(contents[contents.size() - distinct]);
  while (contents.size() < profile.total * kPagesOfMib) contents.push_back(numbers.next());
  return contents;
}

}  // namespace

void esx_equal_machines(EsxTable& table) {
  std::array<Shared, kMachines.size()> by_machines;
  std::ranges::transform(kMachines, by_machines.begin(), [](std::size_t n) { return share(equal_machines(n)); });
  const Shared& one = by_machines.front();
  const Shared& two = by_machines.at(1);
  const Shared& ten = by_machines.back();
  const double mib = counted(one.reclaimed()) / counted(pages_of(1_MiB));
  table.add({.row = 2,
             .name = "one",
             .what = "of one machine of 40 MiB is reclaimed",
             .ours = mib,
             .unit = "MiB",
             .published = "5 MB",
             .tolerance = "2 %, calibrated",
             .verdict = holds_if(std::abs(mib - 5) <= 0.1)});
  const double zeros = 100 * counted(one.zeros) / counted(one.reclaimed());
  table.add({.row = 2,
             .name = "one_zeros",
             .what = "zeros in that",
             .ours = zeros,
             .unit = "%",
             .published = "55 %",
             .tolerance = "1 point, calibrated",
             .verdict = holds_if(std::abs(zeros - kZerosOfOne) <= 1)});
  const double level = 100 * counted(ten.shared()) / counted(kMachine * kMachines.back());
  table.add({.row = 2,
             .name = "ten",
             .what = "memory of ten equal machines that is shared",
             .ours = level,
             .unit = "%",
             .published = "67 %",
             .tolerance = "1 point, calibrated",
             .verdict = holds_if(std::abs(level - kLevelOfTen) <= 1)});
  double off = 0;
  for (std::size_t i = 1; i < kMachines.size(); ++i) {
    const double line = counted(ten.shared()) * counted(kMachines.at(i)) / counted(kMachines.back());
    off = std::max(off, 100 * std::abs(counted(by_machines.at(i).shared()) / line - 1));
  }
  table.add({.row = 2,
             .name = "linear",
             .what = "two to ten machines: what is shared is off a line by at most",
             .ours = off,
             .unit = "%",
             .published = "linear",
             .tolerance = "2 %",
             .verdict = holds_if(off <= 2)});
  const double grown = 100 * (counted(ten.copies) / counted(two.copies) - 1);
  table.add({.row = 2,
             .name = "flat",
             .what = "two to ten machines: the single copies grow by",
             .ours = grown,
             .unit = "%",
             .published = "about flat",
             .tolerance = "2 %",
             .verdict = holds_if(std::abs(grown) <= 2)});
}

void esx_production(EsxTable& table) {
  for (const Profile& profile : kProfiles) {
    const Contents contents = contents_of(profile);
    const double published = 100 * counted(profile.reclaimed) / counted(profile.total);
    const double ours = 100 * counted(share(contents).reclaimed()) / counted(contents.size());
    table.add({.row = 3,
               .name = profile.name,
               .what = fmt::format("of a production host is reclaimed: {}", profile.what),
               .ours = ours,
               .unit = "%",
               .published = fmt::format("{:.1f} %", published),
               .tolerance = "1 point, calibrated",
               .verdict = holds_if(std::abs(ours - published) <= 1)});
  }
}

}  // namespace pagoda::bench
