#include "pagoda/report/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "pagoda/report/story.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"

namespace pagoda::report {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

TEST(ReportJson, ValuesSurviveTheWayThroughText) {
  const sim::RunResult run = testing::overcommitted_run();
  const Json json = to_json(run);
  EXPECT_EQ(Json::parse(json_text(json)), json);
}

TEST(ReportJson, EveryFieldGoesToItsOwnKey) {
  sim::RunResult run;
  run.scenario = "a.toml";
  run.title = "title";
  run.description = "description";
  run.seed = kLargest;
  run.memory = 1_MiB;
  run.paging = "pae";
  run.tlb = "large";
  run.refill = "software";
  run.verified = true;
  run.end = Time(101);
  run.commit_peak = 102_pages;
  run.state_hash = 0xABC;
  run.wall_seconds = 1.5;
  for (std::size_t i = 0; i < mm::kFaultKinds; ++i) run.counters.faults[i] = 200 + i;
  run.counters.page_file_reads = 301;
  run.counters.page_file_pages_read = 302;
  run.counters.page_file_writes = 303;
  run.counters.page_file_pages_written = 304;
  run.counters.mapped_file_reads = 316;
  run.counters.mapped_file_pages_read = 317;
  run.counters.mapped_file_writes = 318;
  run.counters.mapped_file_pages_written = 319;
  run.counters.read_errors = 305;
  run.counters.write_errors = 306;
  run.counters.pages_zeroed_in_fault = 307;
  run.counters.pages_zeroed_by_thread = 308;
  run.counters.zero_pages_found = 320;
  run.counters.zero_pages_by_writer = 326;
  run.counters.zero_pages_by_trim = 327;
  run.counters.zero_pages_by_hint = 328;
  run.counters.pages_compressed = 321;
  run.counters.bytes_compressed = 322;
  run.counters.pages_decompressed = 323;
  run.counters.pages_incompressible = 324;
  run.counters.pages_evicted = 325;
  run.counters.sharing_scanned = 341;
  run.counters.sharing_merged = 342;
  run.counters.sharing_zeros = 343;
  run.counters.sharing_hints = 344;
  run.counters.sharing_stale_hints = 345;
  run.counters.sharing_false_matches = 346;
  run.counters.sharing_put_off = 347;
  run.counters.sharing_table_full = 348;
  run.counters.sharing_offered = 351;
  run.counters.sharing_offers_merged = 352;
  run.counters.sharing_withheld = 353;
  run.counters.sharing_copied = 354;
  run.counters.pages_repurposed = 309;
  run.counters.pages_replaced = 310;
  run.counters.pages_trimmed = 311;
  run.counters.shortages = 312;
  run.counters.commit_refusals = 313;
  run.counters.page_tables_made = 314;
  run.counters.page_tables_freed = 315;
  run.counters.page_tables_paged_out = 329;
  run.counters.page_tables_paged_in = 330;
  run.counters.prototype_pages_paged_out = 331;
  run.counters.prototype_pages_paged_in = 332;
  run.counters.resident_refusals = 333;
  mm::FaultCounts faults{};
  for (std::size_t i = 0; i < mm::kFaultKinds; ++i) faults[i] = 400 + i;
  run.processes = {{"p",           "v",           "program", 501_pages,
                    502_pages,     503_pages,     504_pages, 513_pages,
                    514_pages,     505_pages,     506,       507,
                    Duration(508), Duration(509), Time(510), faults,
                    511,           512,           0,         sim::LimitSource::kScenario}};
  run.disks = {{"d", 601_B, 602_B, 603, 604, 605_B, 606_B, 607, Duration(608), 609}};
  run.page_files = {{"f", "d", 701_B, 702_B, 703_B, 704_pages, 705_pages}};
  run.processors = {{Duration(801), Duration(802), 803, 804, 805, 806}};
  run.incidents = {{.time = Time(851), .vm = "", .process = "", .text = "one"},
                   {.time = Time(852), .vm = "v", .process = "p", .text = "two"}};
  run.settings = {.compression_store = 103_pages, .balance_period = Duration(104)};
  sim::Sample sample;
  sample.time = Time(900);
  sample.frames = {901_pages, 891_pages, 892_pages, 902_pages, 893_pages, 903_pages, 904_pages,
                   905_pages, 906_pages, 907_pages, 908_pages, 894_pages, {}};
  for (std::size_t i = 0; i < 8; ++i) sample.frames.standby[i] = PageCount(910 + i);
  sample.commit_charge = 921_pages;
  sample.commit_limit = 922_pages;
  sample.resident_charge = 925_pages;
  sample.resident_limit = 926_pages;
  sample.shared_contents = 927_pages;
  sample.shared_saved = 928_pages;
  sample.template_pages = 929_pages;
  sample.template_saved = 930_pages;
  sample.page_file_used = 923_pages;
  sample.page_file_size = 924_pages;
  sample.counters = run.counters;
  sample.processes = {{931_pages, 31_pages, 932_pages, 933_pages, faults, Duration(941), Duration(942)}};
  run.samples = {sample};

  const Json expected = Json::parse(R"({
    "schema": "pagoda-run", "version": 4, "scenario": "a.toml", "title": "title", "description": "description",
    "seed": 18446744073709551615, "memory_bytes": 1048576, "paging": "pae", "tlb": "large", "refill": "software",
    "verified": true, "end_ns": 101, "commit_peak_pages": 102, "compression_store_pages": 103, "balance_period_ns": 104, "state_hash": "0000000000000abc", "wall_seconds": 1.5,
    "counters": {
      "faults": {"demand_zero": 200, "transition_standby": 201, "transition_modified": 202, "collided": 203, "compressed": 204,
        "page_file": 205, "mapped_file": 206, "shared": 207, "copy_on_write": 208,
        "first_write": 209, "guard": 210, "spurious": 211, "access_violation": 212,
        "in_page_error": 213},
      "page_file_reads": 301, "page_file_pages_read": 302, "page_file_writes": 303, "page_file_pages_written": 304,
      "mapped_file_reads": 316, "mapped_file_pages_read": 317, "mapped_file_writes": 318,
      "mapped_file_pages_written": 319, "read_errors": 305, "write_errors": 306, "pages_zeroed_in_fault": 307, "pages_zeroed_by_thread": 308,
      "zero_pages_found": 320, "zero_pages_by_writer": 326, "zero_pages_by_trim": 327,
      "zero_pages_by_hint": 328, "pages_compressed": 321, "bytes_compressed": 322, "pages_decompressed": 323,
      "pages_incompressible": 324, "pages_evicted": 325,
      "sharing_scanned": 341, "sharing_merged": 342, "sharing_zeros": 343, "sharing_hints": 344,
      "sharing_stale_hints": 345, "sharing_false_matches": 346, "sharing_put_off": 347, "sharing_table_full": 348,
      "sharing_offered": 351, "sharing_offers_merged": 352, "sharing_withheld": 353, "sharing_copied": 354,
      "pages_repurposed": 309, "pages_replaced": 310, "pages_trimmed": 311, "shortages": 312, "commit_refusals": 313,
      "resident_refusals": 333, "page_tables_made": 314, "page_tables_freed": 315, "page_tables_paged_out": 329, "page_tables_paged_in": 330,
      "prototype_pages_paged_out": 331, "prototype_pages_paged_in": 332},
    "processes": [{"name": "p", "vm": "v", "program": "program", "footprint_pages": 501, "working_set_minimum_pages": 502,
      "working_set_maximum_pages": 503, "working_set_limits_from": "scenario", "peak_working_set_pages": 504, "end_private_pages": 513,
      "end_shared_pages": 514, "peak_commit_pages": 505, "operations": 506,
      "references": 507, "cpu_ns": 508, "wait_ns": 509, "finished_ns": 510,
      "faults": {"demand_zero": 400, "transition_standby": 401, "transition_modified": 402, "collided": 403, "compressed": 404,
        "page_file": 405, "mapped_file": 406, "shared": 407, "copy_on_write": 408,
        "first_write": 409, "guard": 410, "spurious": 411, "access_violation": 412,
        "in_page_error": 413},
      "in_page_errors": 511, "loads_verified": 512}],
    "vms": [], "policy": null, "baseline": null,
    "disks": [{"name": "d", "capacity_bytes": 601, "used_bytes": 602, "reads": 603, "writes": 604, "read_bytes": 605,
      "written_bytes": 606, "errors": 607, "bounced_pages": 609, "busy_ns": 608}],
    "page_files": [{"name": "f", "disk": "d", "minimum_bytes": 701, "maximum_bytes": 702, "size_bytes": 703,
      "used_pages": 704, "peak_used_pages": 705}],
    "processors": [{"busy_ns": 801, "idle_ns": 802, "tlb_hits": 803, "tlb_misses": 804, "walk_loads": 805,
      "shootdowns": 806}],
    "incidents": [{"time_ns": 851, "vm": null, "process": null, "text": "one"},
      {"time_ns": 852, "vm": "v", "process": "p", "text": "two"}],
    "samples": {
      "time_ns": [900],
      "frames": {"active_private_pages": [901], "active_shared_file_pages": [891],
        "active_shared_page_file_pages": [892], "active_page_tables_pages": [902],
        "active_prototypes_pages": [893], "transition_pages": [903],
        "modified_pages": [904], "free_pages": [905], "zeroed_pages": [906], "bad_pages": [907], "system_pages": [908],
        "active_compression_store_pages": [894],
        "standby_pages": [[910], [911], [912], [913], [914], [915], [916], [917]]},
      "commit_charge_pages": [921], "commit_limit_pages": [922],
      "resident_charge_pages": [925], "resident_limit_pages": [926],
      "shared_contents_pages": [927], "shared_saved_pages": [928],
      "template_pages": [929], "template_saved_pages": [930], "page_file_used_pages": [923],
      "page_file_size_pages": [924],
      "counters": {
        "faults": {"demand_zero": [200], "transition_standby": [201], "transition_modified": [202], "collided": [203], "compressed": [204],
        "page_file": [205], "mapped_file": [206], "shared": [207], "copy_on_write": [208],
        "first_write": [209], "guard": [210], "spurious": [211], "access_violation": [212],
        "in_page_error": [213]},
        "page_file_reads": [301], "page_file_pages_read": [302], "page_file_writes": [303],
        "page_file_pages_written": [304], "mapped_file_reads": [316], "mapped_file_pages_read": [317],
        "mapped_file_writes": [318], "mapped_file_pages_written": [319], "read_errors": [305], "write_errors": [306], "pages_zeroed_in_fault": [307],
        "pages_zeroed_by_thread": [308], "zero_pages_found": [320], "zero_pages_by_writer": [326],
        "zero_pages_by_trim": [327], "zero_pages_by_hint": [328], "pages_compressed": [321],
        "bytes_compressed": [322], "pages_decompressed": [323], "pages_incompressible": [324], "pages_evicted": [325],
        "sharing_scanned": [341], "sharing_merged": [342], "sharing_zeros": [343], "sharing_hints": [344],
        "sharing_stale_hints": [345], "sharing_false_matches": [346], "sharing_put_off": [347], "sharing_table_full": [348],
        "sharing_offered": [351], "sharing_offers_merged": [352], "sharing_withheld": [353], "sharing_copied": [354],
        "pages_repurposed": [309], "pages_replaced": [310], "pages_trimmed": [311],
        "shortages": [312], "commit_refusals": [313], "resident_refusals": [333],
        "page_tables_made": [314], "page_tables_freed": [315],
        "page_tables_paged_out": [329], "page_tables_paged_in": [330], "prototype_pages_paged_out": [331], "prototype_pages_paged_in": [332]},
      "processes": [{"working_set_pages": [931], "private_pages": [900], "shared_pages": [31],
        "demand_pages": [932], "private_commit_pages": [933], "cpu_ns": [941], "wait_ns": [942],
        "faults": {"demand_zero": [400], "transition_standby": [401], "transition_modified": [402], "collided": [403], "compressed": [404],
        "page_file": [405], "mapped_file": [406], "shared": [407], "copy_on_write": [408],
        "first_write": [409], "guard": [410], "spurious": [411], "access_violation": [412],
        "in_page_error": [413]}}],
      "vms": []}
  })");
  Json json = to_json(run);
  EXPECT_EQ(json["sentences"], Json(tell(run).sentences()));
  json.erase("sentences");
  EXPECT_EQ(json, expected) << Json::diff(json, expected).dump(1);
}

TEST(ReportJson, EveryFieldOfAPolicyGoesToItsOwnKey) {
  sim::RunResult run;
  run.vms.resize(2);
  run.vms[0].name = "a";
  run.vms[1].name = "b";
  const policy::Decision decision{.machine = policy::MachineId(1),
                                  .previous = 1_pages,
                                  .target = 2_pages,
                                  .balloon = 3_pages,
                                  .compress = 4_pages,
                                  .page_out = 5_pages,
                                  .reclaim_cache = 6_pages,
                                  .execution = policy::Execution::kBlock,
                                  .reason = {.why = policy::Why::kPrice,
                                             .host_free = 0.25,
                                             .active = 0.5,
                                             .price = 0.75,
                                             .stall = 0.125,
                                             .available = 7_pages,
                                             .charged_to = 8_pages}};
  const sim::PolicyAccount account{.shares = 11,
                                   .minimum = 12_pages,
                                   .asked_by_balloon = 13_pages,
                                   .taken_by_paging = 14_pages,
                                   .given_back = 15_pages,
                                   .blocked = Duration(16),
                                   .held = 17_pages,
                                   .fair = 18_pages,
                                   .active = 19_pages,
                                   .waited = Duration(20),
                                   .made_others_wait = Duration(21)};
  run.policy =
      sim::PolicyResult{.name = "p",
                        .period = Duration(31),
                        .rounds = 32,
                        .in_state = {Duration(33), Duration(34), Duration(35), Duration(36), Duration(37)},
                        .told = {{.time = Time(38), .state = policy::FreeState::kHard, .decisions = {decision}},
                                 {.time = Time(39), .state = policy::FreeState::kHard, .decisions = {}}},
                        .decisions = 40,
                        .accounts = {account, {}},
                        .charges = {{.payer = 1, .taker = 0, .waited = Duration(41)}},
                        .fairness = 0.5,
                        .distance_to_fair = 0.25};
  Json policy = to_json(run)["policy"];
  EXPECT_EQ(policy["decisions"][0]["sentence"], policy::sentence(decision, "b"));
  policy["decisions"][0].erase("sentence");
  policy["machines"].erase(1);
  EXPECT_EQ(policy, Json::parse(R"({"name": "p", "period_ns": 31, "rounds": 32,
    "in_state_ns": {"high": 33, "clear": 34, "soft": 35, "hard": 36, "low": 37},
    "state_changes": [{"time_ns": 38, "state": "hard"}], "fairness": 0.5, "distance_to_fair": 0.25,
    "machines": [{"vm": "a", "shares": 11, "minimum_pages": 12, "held_pages": 17, "owed_pages": 18, "active_pages": 19,
      "asked_by_balloon_pages": 13, "taken_by_paging_pages": 14, "given_back_pages": 15, "blocked_ns": 16,
      "waited_ns": 20, "made_others_wait_ns": 21}],
    "charges": [{"payer": "b", "taker": "a", "waited_ns": 41}],
    "decisions_made": 40,
    "decisions": [{"time_ns": 38, "state": "hard", "vm": "b", "previous_pages": 1, "target_pages": 2,
      "balloon_pages": 3, "compress_pages": 4, "page_out_pages": 5, "reclaim_cache_pages": 6, "blocked": true,
      "why": "price", "host_free": 0.25, "active": 0.5, "price": 0.75, "stall": 0.125, "available_pages": 7,
      "charged_to_pages": 8}]})"));
}

TEST(ReportJson, EveryFieldOfAVirtualMachineGoesToItsOwnKey) {
  sim::VmSample sample{.memory = {1_pages, 2_pages, 3_pages, 4_pages, 5_pages, 7_pages, 6_pages},
                       .frames = {11_pages, 12_pages, 13_pages, 16_pages, 14_pages},
                       .shared = 17_pages,
                       .from_templates = 19_pages,
                       .active = 18_pages,
                       .tables = 15_pages,
                       .counters = {21, 36, 22, 23, 24,  25,  26,  27,  28,  29,  30,  107, 108, 109,
                                    31, 32, 33, 34, 101, 102, 103, 104, 111, 112, 113, 105, 106, 35},
                       .hard_faults = 41,
                       .pages_read = 42,
                       .pages_written = 43,
                       .busy = Duration(44),
                       .waited = Duration(45)};
  sim::RunResult run;
  run.vms = {
      {.name = "v",
       .paging = "pae",
       .mmu = "nested",
       .backing = "va",
       .guest = "plain",
       .processors = 51,
       .started = Time(77),
       .ended = Time(78),
       .promised = 52_B,
       .fault_cluster = 53_B,
       .peak_working_set = 54_pages,
       .end = sample,
       .counters = {},
       .commit_peak = 55_pages,
       .disks = {},
       .page_files = {},
       .busy = Duration(56),
       .waited = Duration(57),
       .lost = sim::VmLoss{.time = Time(71), .why = "because"},
       .hints = sim::VmHints{.period = Duration(72), .refused = 73},
       .balloon =
           sim::VmBalloon{
               .driver = "stuck", .target = 81_pages, .actual = 82_pages, .out_of_puff = 83, .deflated_on_oom = 84},
       .working_set_maximum = 74_pages,
       .limit_source = sim::LimitSource::kDefault,
       .settings = {.compression_store = 75_pages, .balance_period = Duration(76)}}};
  run.vms[0].counters.page_file_reads = 58;
  run.samples.resize(1);
  run.samples[0].vms = {sample};
  run.baseline = sim::Baseline{.scenario = "s",
                               .title = "t",
                               .end = Time(61),
                               .double_paged = 62,
                               .guest_pages_written = 63,
                               .counters = run.vms[0].counters};
  const Json json = to_json(run);
  Json vm = json["vms"][0];
  EXPECT_EQ(vm["counters"]["page_file_reads"], 58);
  vm.erase("counters");
  EXPECT_EQ(vm, Json::parse(R"({"name": "v", "paging": "pae", "mmu": "nested", "backing": "va", "guest": "plain",
    "processors": 51, "started_ns": 77, "ended_ns": 78, "promised_bytes": 52, "fault_cluster_bytes": 53,
    "working_set_maximum_pages": 74, "working_set_limits_from": "default", "peak_working_set_pages": 54,
    "compression_store_pages": 75, "balance_period_ns": 76, "hint_period_ns": 72, "hints_refused": 73,
    "balloon": {"driver": "stuck", "target_pages": 81, "actual_pages": 82, "out_of_puff": 83, "deflated_on_oom_pages": 84},
    "memory": {"active_pages": 1, "modified_pages": 2, "standby_pages": 3, "compressed_pages": 4, "page_file_pages": 5,
      "ballooned_pages": 7, "nothing_pages": 6},
    "guest_frames": {"active_pages": 11, "modified_pages": 12, "standby_pages": 13, "ballooned_pages": 16,
      "unused_pages": 14},
    "shared_pages": 17, "active_pages": 18, "tables_pages": 15,
    "exits": {"exits": 21, "dispatches": 36, "violations": 22, "write_violations": 23, "page_ins": 24, "invalidations": 25,
      "hidden_faults": 26, "true_faults": 27, "table_writes": 28, "page_invalidations": 29, "root_loads": 30,
      "table_batches": 107, "table_updates": 108, "table_refusals": 109, "hypercalls": 31, "cold_pages": 32, "hot_pages": 33, "discarded_pages": 34, "inflated_pages": 101,
      "deflated_pages": 102, "popped_pages": 103, "reported_pages": 104,
      "bounced_pages": 111, "lowered_pages": 112, "raised_pages": 113, "sampled_pages": 105, "sampled_used": 106,
      "double_paged": 35,
      "double_paging_transfers": 70},
    "commit_peak_pages": 55, "disks": [], "page_files": [], "busy_ns": 56, "waited_ns": 57,
    "lost_ns": 71, "lost_because": "because"})"));
  EXPECT_EQ(json["samples"]["vms"], Json::parse(R"([{
    "memory": {"active_pages": [1], "modified_pages": [2], "standby_pages": [3], "compressed_pages": [4],
      "page_file_pages": [5], "ballooned_pages": [7], "nothing_pages": [6]},
    "guest_frames": {"active_pages": [11], "modified_pages": [12], "standby_pages": [13], "ballooned_pages": [16],
      "unused_pages": [14]},
    "shared_pages": [17], "template_pages": [19], "active_pages": [18], "tables_pages": [15],
    "exits": {"exits": [21], "dispatches": [36], "violations": [22], "write_violations": [23], "page_ins": [24], "invalidations": [25],
      "hidden_faults": [26], "true_faults": [27], "table_writes": [28], "page_invalidations": [29],
      "root_loads": [30], "table_batches": [107], "table_updates": [108], "table_refusals": [109], "hypercalls": [31], "cold_pages": [32], "hot_pages": [33], "discarded_pages": [34],
      "inflated_pages": [101], "deflated_pages": [102], "popped_pages": [103], "reported_pages": [104], "bounced_pages": [111],
      "lowered_pages": [112], "raised_pages": [113],
      "sampled_pages": [105], "sampled_used": [106], "double_paged": [35]},
    "hard_faults": [41], "page_file_pages_read": [42], "page_file_pages_written": [43],
    "busy_ns": [44], "waited_ns": [45]}])"));
  Json baseline = json["baseline"];
  EXPECT_EQ(baseline["counters"]["page_file_reads"], 58);
  baseline.erase("counters");
  EXPECT_EQ(baseline, Json::parse(R"({"scenario": "s", "title": "t", "end_ns": 61, "double_paged": 62,
    "guest_pages_written": 63})"));
}

TEST(ReportJson, AMachineThatWasNotLostAndGivesNoHintsHasNull) {
  sim::RunResult run;
  run.vms.emplace_back();
  const Json vm = to_json(run)["vms"][0];
  for (const char* key : {"lost_ns", "lost_because", "hint_period_ns"}) EXPECT_TRUE(vm[key].is_null()) << key;
}

TEST(ReportJson, AProcessThatDidNotFinishHasNull) {
  sim::RunResult run;
  run.processes.emplace_back();
  run.processes[0].finished = kNever;
  EXPECT_TRUE(to_json(run)["processes"][0]["finished_ns"].is_null());
}

TEST(ReportJson, SamplesFromBeforeAProcessHoldZeroForIt) {
  sim::RunResult run;
  run.processes.resize(2);
  run.samples.resize(2);
  run.samples[1].processes = {{7_pages, 1_pages, 8_pages, 9_pages, {}}, {17_pages, 2_pages, 18_pages, 19_pages, {}}};
  EXPECT_EQ(to_json(run)["samples"]["processes"][1]["demand_pages"], Json::parse("[0, 18]"));
}

TEST(ReportJson, ColumnsStandOnOneLineEach) {
  const std::string text = json_text(to_json(testing::overcommitted_run()));
  EXPECT_THAT(text, HasSubstr("\n    \"commit_limit_pages\": [393216,393216,"));
  EXPECT_TRUE(text.ends_with("}\n"));
}

TEST(ReportJson, HostileNamesGiveValidJson) {
  const Json json = Json::parse(json_text(to_json(testing::hostile_run())));
  EXPECT_EQ(json["title"], testing::kHostileNames[0]);
  EXPECT_THAT(json["processes"][3]["program"].get<std::string>(), HasSubstr("not UTF-8"));
}

}  // namespace
}  // namespace pagoda::report
