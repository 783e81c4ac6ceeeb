#include "pagoda/mm/pte/pte_codec.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <string>

namespace pagoda::mm {
namespace {

using machine::kAmd64Paging;
using machine::kPaePaging;
using machine::kX86Paging;
using machine::PagingMode;
using machine::PteFormat;
using Dirty = PteCodec::Dirty;
using Owner = PteCodec::Owner;
using OneEntry = PteCodec::OneEntry;
using ReadOnly = PteCodec::ReadOnly;
namespace pte_bits = machine::pte_bits;

constexpr Protection protection(unsigned bits) { return protection_from_bits(bits); }

const PteCodec& x86() {
  static const PteCodec codec(kX86Paging);
  return codec;
}
const PteCodec& pae() {
  static const PteCodec codec(kPaePaging);
  return codec;
}
const PteCodec& amd64() {
  static const PteCodec codec(kAmd64Paging);
  return codec;
}
std::array<const PteCodec*, 3> all_codecs() { return {&x86(), &pae(), &amd64()}; }

bool is_x86(const PteCodec& codec) { return codec.mode().format == PteFormat::kX86; }

// --- Golden vectors (reference/nt.md 2.3) ---

TEST(PteCodec, GoldenVectorsOfX86) {
  constexpr VirtualAddress kPrototype(0xE1000000 + 0x12348);
  constexpr VirtualAddress kAboveStart(0x81000000 + 0x1238);
  constexpr VirtualAddress kBelowEnd(0xFFBE0000 - 0x1238);
  EXPECT_EQ(x86().demand_zero(Protection::kReadWrite), 0x00000080U);
  EXPECT_EQ(x86().page_file(1, PageFileSlot(0x123), Protection::kReadWrite), 0x00123082U);
  EXPECT_EQ(x86().transition(Pfn(0xABC), Protection::kReadWrite), 0x00ABC880U);
  EXPECT_EQ(x86().prototype(kPrototype, Protection::kNone, ReadOnly::kNo), 0x00048CA4U);
  EXPECT_EQ(x86().subsection(kBelowEnd, Protection::kReadOnly), 0x0001242EU);
  EXPECT_EQ(x86().subsection(kAboveStart, Protection::kReadOnly), 0x8001242EU);
  EXPECT_EQ(x86().lookup_needed(Protection::kReadWrite), 0xFFFFF480U);

  EXPECT_EQ(x86().prototype_address(0x00048CA4), kPrototype);
  EXPECT_EQ(x86().subsection_address(0x0001242E), kBelowEnd);
  EXPECT_EQ(x86().subsection_address(0x8001242E), kAboveStart);
}

TEST(PteCodec, GoldenVectorsOfAmd64) {
  constexpr VirtualAddress kPrototype(0xFFFFF8A000012348);
  EXPECT_EQ(amd64().page_file(1, PageFileSlot(0x123), Protection::kReadWrite), 0x0000012300000082U);
  EXPECT_EQ(amd64().lookup_needed(Protection::kReadWrite), 0xFFFFFFFF00000480U);
  EXPECT_EQ(amd64().prototype(kPrototype, Protection::kNone, ReadOnly::kNo), 0xF8A0000123480400U);
  EXPECT_EQ(amd64().valid(Pfn(0x1234), Protection::kReadWrite, Owner::kUser, Dirty::kYes), 0x8000000001234867U);

  EXPECT_EQ(amd64().prototype_address(0xF8A0000123480400), kPrototype);
}

// The same by the layouts of reference/nt.md 2.3, where it gives no vector.
TEST(PteCodec, LayoutsOfPae) {
  EXPECT_EQ(pae().demand_zero(Protection::kReadWrite), 0x80U);
  EXPECT_EQ(pae().page_file(1, PageFileSlot(0x123), Protection::kReadWrite), 0x0000012300000082U);
  EXPECT_EQ(pae().transition(Pfn(0x3FFFFFF), Protection::kReadWrite), 0x0000003FFFFFF880U);
  EXPECT_EQ(pae().prototype(VirtualAddress(0xE1012348), Protection::kReadWrite, ReadOnly::kYes), 0xE101234800002500U);
  EXPECT_EQ(pae().subsection(VirtualAddress(0x81001238), Protection::kReadOnly), 0x8100123800000420U);
  EXPECT_EQ(pae().lookup_needed(Protection::kReadWrite), 0xFFFFFFFF00000480U);
}

TEST(PteCodec, LayoutsOfAmd64) {
  EXPECT_EQ(amd64().transition(Pfn(0xABC), Protection::kReadWrite), 0x0000000000ABC880U);
  EXPECT_EQ(amd64().prototype(VirtualAddress(0xFFFFF8A000012348), Protection::kReadWrite, ReadOnly::kYes),
            0xF8A0000123482500U);
  EXPECT_EQ(amd64().subsection(VirtualAddress(0xFFFFFA8000001238), Protection::kReadOnly), 0xFA80000012380420U);
}

TEST(PteCodec, FreeSystemPtes) {
  EXPECT_EQ(x86().free_system(0xABCDE, OneEntry::kNo), 0xABCDE000U);
  EXPECT_EQ(x86().free_system(0xABCDE, OneEntry::kYes), 0xABCDE002U);
  EXPECT_EQ(pae().free_system(0xABCDE, OneEntry::kYes), 0x000ABCDE00000002U);
  EXPECT_EQ(amd64().free_system(0xFFFFFFFF, OneEntry::kNo), 0xFFFFFFFF00000000U);
}

// --- Valid ---

TEST(PteCodec, ValidBitsOfEveryMappableProtection) {
  for (const PteCodec* codec : all_codecs()) {
    for (unsigned bits = 0; bits < 32; ++bits) {
      const Protection p = protection(bits);
      if (!is_mappable(p)) continue;
      SCOPED_TRACE(std::string(codec->mode().name) + " " + to_string(p));
      const unsigned base = bits & 7;
      RawPte expected = 0x5678000 | 1 | 4 | 0x20;        // Valid, Owner, Accessed.
      if (base == 4 || base == 6) expected |= 1U << 11;  // RW, XRW: clean, so bit 1 is clear.
      if (base == 5 || base == 7) expected |= 1U << 9;   // WC, XWC: 1 and 11 clear.
      if (!is_x86(*codec) && (base == 1 || base == 4 || base == 5)) expected |= RawPte{1} << 63;
      if ((bits & 0x18) == 0x08) expected |= 0x10;  // NOCACHE: PCD.
      if ((bits & 0x18) == 0x18) expected |= 0x08;  // WRITECOMBINE: PWT.
      const RawPte clean = codec->valid(Pfn(0x5678), p, Owner::kUser, Dirty::kNo);
      EXPECT_EQ(clean, expected);
      EXPECT_EQ(codec->kind(clean), PteKind::kValid);
      EXPECT_EQ(codec->frame(clean), Pfn(0x5678));
      EXPECT_EQ(PteCodec::is_software_writable(clean), is_writable(p));
      EXPECT_EQ(PteCodec::is_copy_on_write(clean), is_write_copy(p));
      EXPECT_TRUE(PteCodec::is_accessed(clean));
      EXPECT_FALSE(PteCodec::is_dirty(clean));

      const RawPte dirty = codec->valid(Pfn(0x5678), p, Owner::kUser, Dirty::kYes);
      EXPECT_EQ(dirty, expected | 0x40 | (is_writable(p) ? 2 : 0));
      EXPECT_TRUE(PteCodec::is_dirty(dirty));
      if (is_writable(p)) {
        EXPECT_EQ(codec->with_dirty(clean), dirty);
      }

      const RawPte kernel = codec->valid(Pfn(0x5678), p, Owner::kKernel, Dirty::kNo);
      EXPECT_EQ(kernel, (expected & ~RawPte{4}) | 0x100);  // Global instead of Owner.
    }
  }
}

TEST(PteCodec, EntriesOfTheHardwareBreakNoReservedBit) {
  for (const PteCodec* codec : all_codecs()) {
    const PagingMode& mode = codec->mode();
    const Pfn highest(static_cast<std::uint32_t>(std::min<std::uint64_t>(mode.max_frames().value(), 1ULL << 32) - 1));
    for (const Owner owner : {Owner::kUser, Owner::kKernel}) {
      for (unsigned level = 2; level <= mode.levels; ++level) {
        const RawPte entry = codec->table(highest, level, owner);
        EXPECT_EQ(entry & mode.level[level].reserved, 0U) << mode.name << level;
        EXPECT_EQ(entry & pte_bits::kLarge, 0U);
        EXPECT_EQ(codec->frame(entry), highest);
        EXPECT_TRUE(PteCodec::is_valid(entry));
        EXPECT_EQ((entry & pte_bits::kUser) != 0, owner == Owner::kUser && mode.level[level].carries_rights);
        EXPECT_EQ((entry & pte_bits::kWrite) != 0, mode.level[level].carries_rights);
      }
      for (unsigned bits = 0; bits < 32; ++bits) {
        if (!is_mappable(protection(bits))) continue;
        const RawPte entry = codec->valid(highest, protection(bits), owner, Dirty::kYes);
        EXPECT_EQ(entry & mode.level[1].reserved, 0U) << mode.name << bits;
      }
    }
  }
}

TEST(PteCodec, TableEntryOfPaeRoot) { EXPECT_EQ(pae().table(Pfn(0x123), 3, Owner::kUser), 0x123001U); }
TEST(PteCodec, TableEntryOfUser) { EXPECT_EQ(amd64().table(Pfn(0x123), 4, Owner::kUser), 0x123867U); }

// --- What is what ---

TEST(PteCodec, DecodesPrototypeBeforeTransition) {
  for (const PteCodec* codec : all_codecs()) {
    EXPECT_EQ(codec->kind(0), PteKind::kZero);
    EXPECT_EQ(codec->kind(0x400), PteKind::kPrototype);
    EXPECT_EQ(codec->kind(0xC00), PteKind::kPrototype);  // Bit 11 then belongs to the address or the protection.
    EXPECT_EQ(codec->kind(0xC00, PteHome::kSegment), PteKind::kSubsection);
    EXPECT_EQ(codec->kind(0x800), PteKind::kTransition);
    EXPECT_EQ(codec->kind(0xC01), PteKind::kValid);
    EXPECT_TRUE(PteCodec::is_transition(0x800));
    EXPECT_FALSE(PteCodec::is_transition(0xC00));
    EXPECT_FALSE(PteCodec::is_transition(0x801));
    EXPECT_FALSE(codec->has_slot(codec->page_file(1, PageFileSlot(1), protection(4)) | 0x400));
    EXPECT_FALSE(codec->has_slot(codec->page_file(1, PageFileSlot(1), protection(4)) | 0x800));
    EXPECT_FALSE(codec->has_slot(codec->page_file(1, PageFileSlot(1), protection(4)) | 1));
  }
}

TEST(PteCodec, SlotZeroIsDemandZero) {
  for (const PteCodec* codec : all_codecs()) {
    const RawPte zero = codec->demand_zero(Protection::kReadWrite);
    EXPECT_EQ(codec->kind(zero), PteKind::kDemandZero);
    EXPECT_FALSE(codec->has_slot(zero));
    EXPECT_EQ(codec->slot(zero), PageFileSlot(0));
    // Slot 0 of every paging file is reserved, so the number of the file decides nothing.
    EXPECT_EQ(codec->kind(zero | 3 << 1), PteKind::kDemandZero);
    EXPECT_FALSE(codec->has_slot(zero | 3 << 1));
    EXPECT_EQ(codec->kind(codec->decommitted()), PteKind::kDecommitted);
    EXPECT_EQ(codec->protection(codec->decommitted()), Protection::kDecommitted);
    EXPECT_EQ(codec->kind(codec->demand_zero(Protection::kNoAccess)), PteKind::kDemandZero);
    EXPECT_EQ(codec->kind(codec->page_file(0, PageFileSlot(1), Protection::kDecommitted)), PteKind::kPageFile);
    EXPECT_TRUE(codec->has_slot(codec->page_file(0, PageFileSlot(1), Protection::kReadOnly)));
  }
}

TEST(PteCodec, SlotsReachAsFarAsTheFieldDoes) {
  EXPECT_EQ(x86().page_file(15, PageFileSlot(0xFFFFF), Protection::kReadWrite), 0xFFFFF09EU);
  EXPECT_EQ(x86().slot(0xFFFFF09E), PageFileSlot(0xFFFFF));
  EXPECT_EQ(amd64().page_file(15, PageFileSlot(0xFFFFFFFF), Protection::kReadWrite), 0xFFFFFFFF0000009EU);
  EXPECT_EQ(amd64().slot(0xFFFFFFFF0000009E), PageFileSlot(0xFFFFFFFF));
}

TEST(PteCodec, UseCountOfAmd64IsNoSlot) {
  const RawPte pte = amd64().demand_zero(Protection::kReadWrite) | 0x3FF << 12;
  EXPECT_EQ(amd64().kind(pte), PteKind::kDemandZero);
  EXPECT_FALSE(amd64().has_slot(pte));
}

TEST(PteCodec, UseCountStaysWhenASlotComesAndGoes) {
  const RawPte table = amd64().with_use_count(amd64().demand_zero(Protection::kReadWrite), 512);
  const RawPte written = amd64().in_slot(table, 3, PageFileSlot(7));
  EXPECT_EQ(written, RawPte{7} << 32 | 512U << 12 | 4U << 5 | 3U << 1);
  EXPECT_EQ(amd64().without_slot(written), table);
  EXPECT_EQ(x86().without_slot(x86().page_file(3, PageFileSlot(7), Protection::kReadOnly)),
            x86().demand_zero(Protection::kReadOnly));
}

#if PAGODA_DCHECKS
TEST(PteCodecDeathTest, RefusesWhatTheFieldsCannotHold) {
  EXPECT_DEATH((void)x86().page_file(0, PageFileSlot(0x100000), Protection::kReadWrite), "1U << 20");
  EXPECT_DEATH((void)x86().page_file(16, PageFileSlot(1), Protection::kReadWrite), "file < 16U");
  EXPECT_DEATH((void)x86().page_file(0, PageFileSlot(0), Protection::kReadWrite), "slot.value");
  EXPECT_DEATH((void)x86().transition(Pfn(0x100000), Protection::kReadWrite), "frame_mask_");
  EXPECT_DEATH((void)pae().transition(Pfn(0x4000000), Protection::kReadWrite), "frame_mask_");
  EXPECT_DEATH((void)x86().prototype(VirtualAddress(0xE0FFFFFC), Protection::kNone, ReadOnly::kNo), "Reach");
  EXPECT_DEATH((void)x86().subsection(VirtualAddress(0x81000000 + (1U << 27)), Protection::kReadOnly), "Reach");
  EXPECT_DEATH((void)amd64().prototype(VirtualAddress(0xFFFFF8A000012344), Protection::kNone, ReadOnly::kNo), "% ");
  EXPECT_DEATH((void)amd64().valid(Pfn(1), Protection::kNoAccess, Owner::kUser, Dirty::kNo), "is_mappable");
}
#endif

// --- Round trips ---

const PteCodec& any_codec() { return *all_codecs()[*rc::gen::inRange<std::size_t>(0, 3)]; }
Protection any_protection() { return protection(*rc::gen::inRange(0U, 32U)); }
Pfn any_frame(const PteCodec& codec) {
  const std::uint64_t frames = std::min<std::uint64_t>(codec.mode().max_frames().value(), 1ULL << 32);
  return Pfn(static_cast<std::uint32_t>(*rc::gen::inRange<std::uint64_t>(0, frames)));
}
void fits(const PteCodec& codec, RawPte pte) { RC_ASSERT(!is_x86(codec) || pte >> 32 == 0); }

// Every protection survives with_protection, and only what has the old one changes.
void check_with_protection(const PteCodec& codec, RawPte pte, RawPte with_other, Protection other, PteHome home) {
  RC_ASSERT(codec.with_protection(pte, other, home) == with_other);
  fits(codec, pte);
}

RC_GTEST_PROP(PteCodec, TransitionRoundTrip, ()) {
  const PteCodec& codec = any_codec();
  const Pfn frame = any_frame(codec);
  const Protection p = any_protection();
  const Protection other = any_protection();
  const RawPte pte = codec.transition(frame, p);
  RC_ASSERT(codec.kind(pte) == PteKind::kTransition);
  RC_ASSERT(PteCodec::is_transition(pte) && !PteCodec::is_valid(pte) && !codec.has_slot(pte));
  RC_ASSERT(codec.frame(pte) == frame);
  RC_ASSERT(codec.protection(pte) == p);
  RC_ASSERT(((pte & pte_bits::kCacheDisable) != 0) == is_no_cache(p));
  RC_ASSERT(((pte & kWriteCombineBits) != 0) == is_write_combine(p));
  RC_ASSERT((pte & (pte_bits::kWrite | pte_bits::kUser)) == 0U);
  check_with_protection(codec, pte, codec.transition(frame, other), other, PteHome::kPageTable);
}

RC_GTEST_PROP(PteCodec, PageFileRoundTrip, ()) {
  const PteCodec& codec = any_codec();
  const unsigned file = *rc::gen::inRange(0U, 16U);
  const PageFileSlot slot(
      static_cast<std::uint32_t>(*rc::gen::inRange<std::uint64_t>(1, is_x86(codec) ? 1ULL << 20 : 1ULL << 32)));
  const Protection p = any_protection();
  const Protection other = any_protection();
  const RawPte pte = codec.page_file(file, slot, p);
  RC_ASSERT(codec.kind(pte) == PteKind::kPageFile);
  RC_ASSERT(codec.has_slot(pte) && !PteCodec::is_transition(pte) && !PteCodec::is_valid(pte));
  RC_ASSERT(codec.file(pte) == file);
  RC_ASSERT(codec.slot(pte) == slot);
  RC_ASSERT(codec.protection(pte) == p);
  check_with_protection(codec, pte, codec.page_file(file, slot, other), other, PteHome::kPageTable);
}

RC_GTEST_PROP(PteCodec, PrototypeRoundTrip, ()) {
  const PteCodec& codec = any_codec();
  const Protection p = any_protection();
  const Protection other = any_protection();
  const ReadOnly read_only = *rc::gen::element(ReadOnly::kNo, ReadOnly::kYes);
  const std::uint64_t entry = codec.mode().entry_bytes;
  // Paged pool of x86 ends below 4 GB, 496 MB above its start; AMD64's lies between its kernel's start and the top.
  const VirtualAddress address =
      codec.mode().format == PteFormat::kAmd64
          ? VirtualAddress(0xFFFF800000000000 + *rc::gen::inRange<std::uint64_t>(0, 1ULL << 46) * 2 / entry * entry)
          : VirtualAddress(0xE1000000 + *rc::gen::inRange<std::uint64_t>(0, 0x1F000000) / entry * entry);
  const RawPte pte = codec.prototype(address, p, read_only);
  RC_ASSERT(codec.kind(pte) == PteKind::kPrototype);
  RC_ASSERT(!codec.is_lookup_needed(pte) && !codec.has_slot(pte) && !PteCodec::is_transition(pte));
  RC_ASSERT(codec.points_to_prototype(pte));
  RC_ASSERT(codec.prototype_address(pte) == address);
  RC_ASSERT(codec.protection(pte) == (is_x86(codec) ? Protection::kNone : p));
  check_with_protection(codec, pte,
                        is_x86(codec) ? codec.lookup_needed(other) : codec.prototype(address, other, read_only), other,
                        PteHome::kPageTable);
}

RC_GTEST_PROP(PteCodec, SubsectionRoundTrip, ()) {
  const PteCodec& codec = any_codec();
  const Protection p = any_protection();
  const Protection other = any_protection();
  const std::uint64_t offset = *rc::gen::inRange<std::uint64_t>(1, 1U << 24) * 8;  // Less than 128 MB.
  const std::uint64_t base = codec.mode().format == PteFormat::kAmd64 ? 0xFFFFFA8000000000 : 0x81000000;
  const VirtualAddress address = *rc::gen::arbitrary<bool>()
                                     ? VirtualAddress(base + offset)
                                     : VirtualAddress((base & ~0xFFFFFFFFULL) + 0xFFBE0000 - offset);
  const RawPte pte = codec.subsection(address, p);
  RC_ASSERT(codec.kind(pte, PteHome::kSegment) == PteKind::kSubsection);
  RC_ASSERT(!codec.has_slot(pte) && !PteCodec::is_transition(pte));
  RC_ASSERT(codec.subsection_address(pte) == address);
  RC_ASSERT(codec.protection(pte, PteHome::kSegment) == p);
  check_with_protection(codec, pte, codec.subsection(address, other), other, PteHome::kSegment);
}

TEST(PteCodec, SmallFormsRoundTripInEveryProtection) {
  for (const PteCodec* codec : all_codecs()) {
    for (unsigned bits = 0; bits < 32; ++bits) {
      const Protection p = protection(bits);
      SCOPED_TRACE(std::string(codec->mode().name) + " " + to_string(p));
      const RawPte lookup = codec->lookup_needed(p);
      EXPECT_EQ(codec->kind(lookup), PteKind::kPrototype);
      EXPECT_TRUE(codec->is_lookup_needed(lookup));
      EXPECT_FALSE(codec->points_to_prototype(lookup));
      EXPECT_EQ(codec->protection(lookup), p);
      EXPECT_EQ(codec->with_protection(codec->lookup_needed(Protection::kReadOnly), p), lookup);
      EXPECT_FALSE(codec->is_lookup_needed(lookup | 1));

      if (bits == 0) continue;  // That entry is zero.
      const RawPte zero = codec->demand_zero(p);
      EXPECT_EQ(codec->kind(zero), bits == 0x10 ? PteKind::kDecommitted : PteKind::kDemandZero);
      EXPECT_EQ(codec->protection(zero), p);
      EXPECT_EQ(codec->with_protection(codec->demand_zero(Protection::kReadOnly), p), zero);
    }
  }
}

// --- In words ---

TEST(PteCodec, DescribesInWords) {
  const auto guarded = with_modifier(Protection::kReadWrite, kProtectionGuard);
  EXPECT_EQ(amd64().describe(0), "zero");
  EXPECT_EQ(amd64().describe(0x8000000001234867), "valid pfn:0x1234 ---DA--UW-V");
  EXPECT_EQ(x86().describe(0x0A0B1163), "valid pfn:0xa0b1 -G-DA--KWEV");  // The debugger's own (reference/nt.md 14).
  EXPECT_EQ(x86().describe(x86().valid(Pfn(0x12), Protection::kExecuteWriteCopy, Owner::kUser, Dirty::kNo)),
            "valid pfn:0x12 C---A--UREV");
  EXPECT_EQ(x86().describe(0x00123082), "page file 1 slot:0x123 RW");
  EXPECT_EQ(x86().describe(0x00ABC880), "transition pfn:0xabc RW");
  EXPECT_EQ(x86().describe(x86().demand_zero(guarded)), "demand zero RW|GUARD");
  EXPECT_EQ(x86().describe(x86().decommitted()), "decommitted");
  EXPECT_EQ(x86().describe(0x00048CA4), "prototype va:0xe1012348");
  EXPECT_EQ(amd64().describe(0xF8A0000123482500), "prototype va:0xfffff8a000012348 RW read-only");
  EXPECT_EQ(x86().describe(0xFFFFF480), "prototype by VAD RW");
  EXPECT_EQ(x86().describe(0x8001242E, PteHome::kSegment), "subsection va:0x81001238 RO");
}

TEST(PteCodec, EveryKindHasAName) {
  for (unsigned kind = 0; kind <= static_cast<unsigned>(PteKind::kSubsection); ++kind) {
    EXPECT_NE(name(static_cast<PteKind>(kind)), "") << kind;
  }
}

}  // namespace
}  // namespace pagoda::mm
