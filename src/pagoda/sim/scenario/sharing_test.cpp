// [host.sharing], [vm.sharing] and [[template]].
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using ::testing::HasSubstr;

// The small scenario with a virtual machine "v" and what follows it; on a host that shares so.
std::string shares(std::string_view host, std::string_view vm) { return replaced(with_vm(vm), "processors = 1", host); }

TEST(ScenarioSharing, IsOffWithoutItsSection) {
  const auto scenario = parse_scenario(with_vm(""), "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_FALSE(scenario->sharing);
  EXPECT_FALSE(scenario->vms[0].is_shared);
}

TEST(ScenarioSharing, HasDefaultsAndEachMachineIsADomainOfItsOwn) {
  const auto scenario = parse_scenario(shares("sharing = {}", ""), "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_TRUE(scenario->sharing);
  EXPECT_EQ(scenario->manager.tunables->sharing.scan_in_all, PageCount(3072));
  EXPECT_EQ(scenario->manager.tunables->sharing.scan_of_space, PageCount(1024));
  EXPECT_EQ(scenario->manager.tunables->sharing.hash_bits, 64U);
  EXPECT_TRUE(scenario->vms[0].is_shared);
  EXPECT_FALSE(scenario->vms[0].domain);
}

TEST(ScenarioSharing, ReadsEveryKey) {
  const auto scenario = parse_scenario(
      shares("sharing = { rate = 500, vm_rate = 40, hash_bits = 16, zeros = 'one_page', hints = false, "
             "domain = [{ name = 'a' }, { name = 'b' }] }",
             "sharing = { domain = 'b' }\n[[vm]]\nname = 'w'\nmemory = '2MiB'\nsharing = { on = false }"),
      "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const mm::SharingTunables& tunables = scenario->manager.tunables->sharing;
  EXPECT_EQ(tunables.scan_in_all, PageCount(500));
  EXPECT_EQ(tunables.scan_of_space, PageCount(40));
  EXPECT_EQ(tunables.hash_bits, 16U);
  EXPECT_EQ(tunables.zeros, mm::SharingTunables::Zeros::kOnePage);
  EXPECT_EQ(tunables.hints, mm::SharingTunables::Hints::kNo);
  EXPECT_EQ(scenario->vms[0].domain, mm::named_domain(1));
  EXPECT_TRUE(scenario->vms[0].is_shared);
  EXPECT_FALSE(scenario->vms[1].is_shared);
}

TEST(ScenarioSharing, IsOffWhereItSaysSo) {
  const auto scenario = parse_scenario(shares("sharing = { on = false }", ""), "s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_FALSE(scenario->sharing);
  EXPECT_FALSE(scenario->vms[0].is_shared);
}

TEST(ScenarioSharing, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusal(shares("sharing = { hash_bits = 7 }", "")), HasSubstr("host.sharing.hash_bits"));
  EXPECT_THAT(refusal(shares("sharing = { hash_bits = 65 }", "")), HasSubstr("host.sharing.hash_bits"));
  EXPECT_THAT(refusal(shares("sharing = { rate = 0 }", "")), HasSubstr("host.sharing.rate"));
  EXPECT_THAT(refusal(shares("sharing = { zeros = 'many' }", "")), HasSubstr("host.sharing.zeros"));
  EXPECT_THAT(refusal(shares("sharing = { combine = 'never' }", "")), HasSubstr("host.sharing.combine"));
  EXPECT_THAT(refusal(shares("sharing = { combine = 'same_behaviour', hints = true }", "")),
              HasSubstr("host.sharing.hints"));
  EXPECT_THAT(refusal(shares("sharing = { domain = [{ name = 'a' }, { name = 'a' }] }", "")),
              HasSubstr("there is a domain \"a\" already"));
  EXPECT_THAT(refusal(shares("sharing = {}", "sharing = { domain = 'x' }")),
              HasSubstr("there is no domain \"x\"; declare it with [[host.sharing.domain]]"));
  EXPECT_THAT(refusal(with_vm("sharing = { on = true }")), HasSubstr("give it a [host.sharing]"));
  EXPECT_THAT(refusal(with_vm("sharing = { domain = 'x' }")), HasSubstr("of no use to a machine that does not share"));
  EXPECT_THAT(refusal(shares("sharing = { domain = [{ name = 'a' }] }", "sharing = { on = false, domain = 'a' }")),
              HasSubstr("of no use to a machine that does not share"));
}

// The small scenario with a template and a machine whose program is an image's, with those keys.
std::string begins(std::string_view keys, std::string_view made = "name = 't'\ndisk = 'ssd'\nfill = { image = 'x' }") {
  return with_vm(
      fmt::format("[[vm.process]]\nname = 'p'\nprogram = {{ kind = 'image', {} }}\n[[template]]\n{}", keys, made));
}

TEST(ScenarioTemplates, AProgramBeginsWithOne) {
  const auto scenario =
      parse_scenario(begins("template = 't', references = 5",
                            "name = 's'\ndisk = 'ssd'\nfill = { image = 'y' }\n"
                            "[[template]]\nname = 't'\ndisk = 'ssd'\nfill = { image = 'x', name = 'n', raw = true }"),
                     "dir/s.toml");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_EQ(scenario->templates.size(), 2U);
  EXPECT_EQ(scenario->templates[1].image.file, "dir/x");
  EXPECT_EQ(scenario->templates[1].image.as, TakeAs::kRaw);
  const ProcessConfig& process = scenario->vms[0].processes[0];
  EXPECT_EQ(template_of(process), 1U);
  EXPECT_EQ(template_of(scenario->processes[0]), std::nullopt);
  const auto& program = std::get<ImageProgramConfig>(process.program);
  EXPECT_EQ(program.image.name, "n");
  EXPECT_EQ(program.references, 5U);
  EXPECT_THAT(input_files(*scenario), ::testing::Contains("dir/y"));
}

TEST(ScenarioTemplates, RefuseWhatMakesNoSense) {
  EXPECT_THAT(refusal(begins("template = 'u'")), HasSubstr("there is no template \"u\"; add a [[template]]"));
  for (const char* key : {"image = 'x'", "name = 'n'", "raw = true"})
    EXPECT_THAT(refusal(begins(fmt::format("template = 't', {}", key))), HasSubstr("is the template's; leave it out"));
  EXPECT_THAT(refusal(with_program("{ kind = 'image', template = 't' }")),
              HasSubstr("a program of the host says image"));
  EXPECT_THAT(refusal(begins("template = 't'", "name = 't'\nfill = { image = 'x' }")), HasSubstr("template.disk"));
  EXPECT_THAT(refusal(begins("template = 't'", "name = 't'\ndisk = 'u'\nfill = { image = 'x' }")),
              HasSubstr("there is no disk \"u\""));
  EXPECT_THAT(refusal(begins("template = 't'", "name = 't'\ndisk = 'ssd'")), HasSubstr("template.fill"));
  EXPECT_THAT(refusal(begins("template = 't'",
                             "name = 't'\ndisk = 'ssd'\nfill = { image = 'x' }\n[[template]]\n"
                             "name = 't'\ndisk = 'ssd'\nfill = { image = 'x' }")),
              HasSubstr("there is a template \"t\" already"));
}

}  // namespace
}  // namespace pagoda::sim::testing
