// Shadow paging, a paravirtual MMU, nested paging and none, by the microbenchmarks of the literature: modelled cycles.
#include <fmt/format.h>

#include <array>
#include <string>

#include "bench/figures.h"
#include "bench/mmu_micro.h"

namespace pagoda::bench {

namespace {

constexpr const char* kLayout = "{:<11} {:<19} {:>9} {:>8} {:>8} {:>8} {:>11}   {}";

std::string published_for(const MicroInfo& info, MmuMode mode) {
  if (!info.published) return "";
  if (mode == MmuMode::kNative) return fmt::format("{:.0f}", info.published->native);
  if (mode == MmuMode::kShadow || mode == MmuMode::kShadowSynchronous)
    return fmt::format("{:.0f}", info.published->shadow);
  return "";
}

}  // namespace

Input<> mmu(const BenchOptions&, BenchOutput& out) {
  out.text(fmt::format(kLayout, "program", "mode", "cycles", "exits", "loads", "native=1", "over shadow",
                       "published cycles"));
  for (std::size_t p = 0; p < kMicroPrograms; ++p) {
    const auto program = static_cast<MicroProgram>(p);
    const MicroInfo& info = info_of(program);
    double native = 0;
    double shadow = 0;
    for (std::size_t m = 0; m < kMmuModes; ++m) {
      const auto mode = static_cast<MmuMode>(m);
      if (mode == MmuMode::kNestedLarge && program != MicroProgram::kTlbThrash) continue;
      const MicroResult result = run_micro(program, mode);
      if (mode == MmuMode::kNative) native = result.cycles;
      if (mode == MmuMode::kShadow) shadow = result.cycles;
      const bool without_shadow = mode >= MmuMode::kParavirtual;
      out.text(fmt::format(kLayout, info.name, name_of(mode), fmt::format("{:.0f}", result.cycles),
                           fmt::format("{:.2f}", result.exits), fmt::format("{:.2f}", result.references),
                           fmt::format("{:.2f}", result.cycles / native),
                           without_shadow ? fmt::format("{:+.0f} %", 100 * (shadow / result.cycles - 1)) : "",
                           published_for(info, mode)));
      BenchRow row{.name = fmt::format("mmu_{}_{}", info.name, name_of(mode)),
                   .unit = "cycles",
                   .ours = result.cycles,
                   .peer = native,
                   .peer_name = "native",
                   .ratio = native / result.cycles,
                   .floor = std::nullopt,
                   .more = {{"operation", info.operation},
                            {"operations", result.operations},
                            {"exits", result.exits},
                            {"walk_references", result.references}}};
      if (info.published) {
        row.more["published_native"] = info.published->native;
        row.more["published_shadow"] = info.published->shadow;
      }
      if (without_shadow) row.more["gain_over_shadow"] = shadow / result.cycles - 1;
      if (mode == MmuMode::kNested) {
        row.more["published_gain_micro_most"] = kEptGainMicro;
        row.more["published_gain_applications_most"] = kEptGainApplications;
        row.more["published_walk_references_most"] = kNestedWalkMost;
      }
      out.json_only(row);
    }
  }
  out.text(
      fmt::format("published, nested over shadow (VMware EPT 2009): up to {:.0f} % on microbenchmarks, {:.0f} % on "
                  "applications; up to {:.0f} loads a walk",
                  100 * kEptGainMicro, 100 * kEptGainApplications, kNestedWalkMost));
  return {};
}

}  // namespace pagoda::bench
