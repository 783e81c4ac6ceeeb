// The protections of sections, of their views and of the views' pages later on, as reference/nt.md 6.1 and 7.3 lay them
// out: who may become what, what it may then be used for, and where a write lands. What a view's pages may become
// depends on what the view was mapped with, not on its section (issue 10, which corrects 7.3).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;
using testing::TestMachineConfig;

using enum Protection;

// --- The reference's tables ---

constexpr std::array kColumns{kNoAccess, kReadOnly,    kWriteCopy,        kReadWrite,
                              kExecute,  kExecuteRead, kExecuteWriteCopy, kExecuteReadWrite};

struct SectionRow {
  Protection section;  // Or a view.
  std::string_view views;
};
// 6.1: a section's protection -> what views may have; a view's -> what its pages may be changed to; else
// SECTION_PROTECTION. "NOACCESS RO WC RW X XR XWC XRW".
constexpr std::array kSections{
    SectionRow{kReadOnly, "yyy....."},          //
    SectionRow{kWriteCopy, "yyy....."},         //
    SectionRow{kReadWrite, "yyyy...."},         //
    SectionRow{kExecute, "y...y..."},           //
    SectionRow{kExecuteRead, "yyy.yyy."},       // XWC: Windows takes it (issue 10).
    SectionRow{kExecuteWriteCopy, "yyy.yyy."},  //
    SectionRow{kExecuteReadWrite, "yyyyyyyy"},
};

// What a page with the protection can be used for: r read, x fetch, s write (all views see it), c write (by a private
// copy). No processor of these modes keeps a page that can be fetched from being read, and x86 none that can be read
// from being fetched from.
struct RightsRow {
  Protection protection;
  std::string_view rights;
};
constexpr std::array kRights{
    RightsRow{kNoAccess, ""},
    RightsRow{kReadOnly, "r"},
    RightsRow{kWriteCopy, "rc"},
    RightsRow{kReadWrite, "rs"},
    RightsRow{kExecute, "rx"},
    RightsRow{kExecuteRead, "rx"},
    RightsRow{kExecuteWriteCopy, "rxc"},
    RightsRow{kExecuteReadWrite, "rxs"},
};

bool is_listed(std::string_view row, Protection protection) {
  return row[static_cast<std::size_t>(std::ranges::find(kColumns, protection) - kColumns.begin())] == 'y';
}
bool has(Protection protection, char right) {
  return std::ranges::find(kRights, protection, &RightsRow::protection)->rights.contains(right);
}
bool may_become(Protection view, Protection later) {
  if (view == kNoAccess) return later == kNoAccess;
  return is_listed(std::ranges::find(kSections, view, &SectionRow::section)->views, later);
}
template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}
Protection once_written(Protection protection) {
  if (protection == kWriteCopy) return kReadWrite;
  return protection == kExecuteWriteCopy ? kExecuteReadWrite : protection;
}

// --- The machine against them ---

// What happened to the page of the view before it was changed.
enum class Before : std::uint8_t { kUntouched, kRead, kWritten };

struct Case {
  machine::PteFormat paging;
  SectionKind kind;
};

class SectionProtections : public ::testing::TestWithParam<Case> {
 protected:
  SectionProtections() : t({.frames = PageCount(512), .paging = GetParam().paging}) {
    if (GetParam().kind != SectionKind::kData) return;
    auto disk_file = *t.machine().sim_disk(0).create("data");
    PAGODA_CHECK(disk_file->resize(64_KiB).has_value());
    file_ = std::make_shared<FileStream>("data", std::move(disk_file));
  }

  Section& make(Protection protection) {
    return **t.manager().sections().create(
        t.cpu(), {.file = file_, .kind = GetParam().kind, .size = 64_KiB, .protection = protection});
  }
  Result<VpnRange> map(Section& section, Protection protection) {
    return t.space().map_view(t.cpu(), section, {.protection = protection});
  }
  // A view that shows what all others see. A section that is only executed can be read all the same.
  VirtualAddress witness(Section& section) {
    return VirtualAddress(map(section, section.protection() == kExecute ? kExecute : kReadOnly)->first);
  }
  Status read(VirtualAddress va) { return t.touch(va); }
  static Status expected(bool allowed) { return allowed ? Status::kSuccess : Status::kAccessViolation; }
  Protection reported(VirtualAddress va) { return t.space().query(t.cpu(), va)->protection; }

  // A write lands where the protection says; `is_private`: the view has its copy already. Returns whether it has now.
  bool expect_write(VirtualAddress va, VirtualAddress shown, Protection protection, bool is_private) {
    const bool allowed = has(protection, 's') || has(protection, 'c');
    const std::uint64_t value = ++next_value_;
    const std::uint64_t before = *t.get(shown, 0);
    EXPECT_EQ(t.put(va, 0, value), expected(allowed));
    if (!allowed) {
      EXPECT_EQ(*t.get(shown, 0), before);
      return is_private;
    }
    is_private |= has(protection, 'c');
    EXPECT_EQ(*t.get(va, 0), value);
    EXPECT_EQ(*t.get(shown, 0), is_private ? before : value);
    EXPECT_EQ(reported(va), once_written(protection));
    return is_private;
  }
  // Reads, fetches and writes of a page whose protection is this.
  void expect_uses(VirtualAddress va, VirtualAddress shown, Protection protection, bool is_private) {
    EXPECT_EQ(reported(va), protection);
    EXPECT_EQ(read(va), expected(has(protection, 'r')));
    EXPECT_EQ(t.touch(va, Access::kExecute), expected(has(protection, t.core().mode.has_no_execute ? 'x' : 'r')));
    EXPECT_EQ(reported(va), protection);
    expect_write(va, shown, protection, is_private);
  }

  void expect_change(Section& section, VirtualAddress shown, Protection view, Protection later, Before before) {
    SCOPED_TRACE("section " + to_string(section.protection()) + ", view " + to_string(view) + ", later " +
                 to_string(later) + ", before " + std::to_string(static_cast<int>(before)));
    const VirtualAddress base(map(section, view)->first);
    Protection now = view;
    bool is_private = false;
    if (before == Before::kRead) {
      EXPECT_EQ(read(base), expected(has(view, 'r')));
    } else if (before == Before::kWritten) {
      is_private = expect_write(base, shown, view, false);
      if (is_private) now = once_written(view);
    }
    const auto old = t.space().protect(t.cpu(), base, kPageSize, later);
    if (may_become(view, later)) {
      EXPECT_EQ(old, now);
      now = is_private ? once_written(later) : later;
    } else {
      EXPECT_EQ(status_of(old), Status::kSectionProtection);
    }
    EXPECT_EQ(reported(base + kPageSize), view);  // The next page has nothing to do with it.
    expect_uses(base, shown, now, is_private);
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
  }

  TestMachine t;

 private:
  std::shared_ptr<FileStream> file_;
  std::uint64_t next_value_ = 0;
};

TEST_P(SectionProtections, DecideAboutViews) {
  for (const SectionRow& row : kSections) {
    Section& section = make(row.section);
    const VirtualAddress shown = witness(section);
    for (const Protection view : kColumns) {
      SCOPED_TRACE("section " + to_string(row.section) + ", view " + to_string(view));
      const auto mapped = map(section, view);
      if (!is_listed(row.views, view)) {
        EXPECT_EQ(status_of(mapped), Status::kSectionProtection);
        continue;
      }
      ASSERT_TRUE(mapped);
      const VirtualAddress base(mapped->first);
      expect_uses(base, shown, view, false);
      EXPECT_EQ(t.check(), "");
      EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
    }
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), shown));
    t.manager().sections().dereference(t.cpu(), section);
  }
  EXPECT_EQ(t.check(), "");
}

TEST_P(SectionProtections, DecideAboutLaterChanges) {
  for (const SectionRow& row : kSections) {
    Section& section = make(row.section);
    const VirtualAddress shown = witness(section);
    for (const Protection view : kColumns) {
      if (!is_listed(row.views, view)) continue;
      for (const Protection later : kColumns) {
        for (const Before before : {Before::kUntouched, Before::kRead, Before::kWritten})
          expect_change(section, shown, view, later, before);
      }
      EXPECT_EQ(t.check(), "");
    }
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), shown));
    t.manager().sections().dereference(t.cpu(), section);
  }
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  t.manager().sections().drop_unused(t.cpu());
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(t.check(), "");
}

// What the view refuses it refuses before the question whether the page is committed.
TEST_P(SectionProtections, LimitPagesThatAreNotCommitted) {
  const bool of_file = GetParam().kind == SectionKind::kData;
  Section& section = of_file
                         ? make(kExecuteReadWrite)
                         : **t.manager().sections().create(
                               t.cpu(), {.size = 64_KiB, .protection = kExecuteReadWrite, .flags = {.reserve = true}});
  for (const Protection view : kColumns) {
    // Of a file: behind its end, where the view may grow to.
    const auto mapped = t.space().map_view(
        t.cpu(), section, {.size = of_file ? 128_KiB : 64_KiB, .protection = view, .extendable = of_file});
    ASSERT_TRUE(mapped);
    const VirtualAddress base(mapped->first);
    const VirtualAddress page = of_file ? base + 64_KiB : base;
    for (const Protection later : kColumns) {
      SCOPED_TRACE("view " + to_string(view) + ", later " + to_string(later));
      EXPECT_EQ(t.space().protect(t.cpu(), page, kPageSize, later).error(),
                may_become(view, later) ? Status::kNotCommitted : Status::kSectionProtection);
    }
    EXPECT_EQ(t.space().protect(t.cpu(), page, kPageSize, with_modifier(kReadOnly, kProtectionNoCache)).error(),
              Status::kInvalidParameter4);
    EXPECT_TRUE(t.space().unmap_view(t.cpu(), base));
  }
  EXPECT_EQ(t.check(), "");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto paging : {machine::PteFormat::kX86, machine::PteFormat::kPae, machine::PteFormat::kAmd64})
    for (const SectionKind kind : {SectionKind::kPagingFile, SectionKind::kData}) all.push_back({paging, kind});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Modes, SectionProtections, ::testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(machine::paging_mode(test.param.paging).name) +
         (test.param.kind == SectionKind::kData ? "_DataFile" : "_PagingFile");
});

}  // namespace
}  // namespace pagoda::mm
