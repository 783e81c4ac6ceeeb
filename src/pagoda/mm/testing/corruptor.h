// For tests of the checker: reaches what no public function does, to break it.
#pragma once

#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/region/device_frames.h"

namespace pagoda::mm {

// Reaches what no public function does.
struct Corruptor {
  static PageLists::Head& head(Core& core, PageState state) PAGODA_NO_THREAD_SAFETY {
    PageLists& lists = core.pfns.lists_;
    return lists.heads_[PageLists::index(state, kNormalPriority)];
  }
  static PfnEntry& entry(Core& core, Pfn frame) { return core.pfns.writable(frame); }
  static PageCount& available(Core& core) PAGODA_NO_THREAD_SAFETY { return core.pfns.available_; }
  static AvailableBlocks& blocks(Core& core) PAGODA_NO_THREAD_SAFETY { return core.pfns.blocks_; }
  static FlagTree& broken(AvailableBlocks& blocks) { return blocks.broken_; }
  static Pfn& never_used(Core& core) PAGODA_NO_THREAD_SAFETY { return core.pfns.never_used_; }
  static std::atomic<std::uint64_t>& charged(ResidentLedger& ledger) { return ledger.charged_; }
  static Bitmap& held(DriverFrames& frames) PAGODA_NO_THREAD_SAFETY { return frames.held_; }
  static PageCount& commit(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.commit_; }
  static PageCount& table_charge(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.table_charge_; }
  static WorkingSet& working_set(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.working_set_; }
  static machine::ProcessorSet& loaded_on(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.loaded_on_; }
  static VadTree& vads(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.vads_; }
  static PageCount& vad_pages(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.vads_.pages_; }
  static Bitmap& asids(MemoryManager& manager) PAGODA_NO_THREAD_SAFETY { return manager.asids_; }
  static PfnDatabase::ActiveShared& active_shared(Core& core) PAGODA_NO_THREAD_SAFETY {
    return core.pfns.active_shared_;
  }
  static AweFrames& awe(ProcessSpace& space) PAGODA_NO_THREAD_SAFETY { return space.user_pages_.frames_; }
  static std::vector<Pfn>& list(AweFrames& frames) { return frames.all_; }
  static PageCount& size(WorkingSet& ws) { return ws.size_; }
  static PageCount& locked(WorkingSet& ws) { return ws.locked_; }
  static std::uint32_t& of_age(WorkingSet& ws, unsigned age) { return ws.of_age_[age]; }
  static WorkingSet::Trimmable& watched(WorkingSet& ws) { return ws.watched_; }
  static std::uint32_t& end_slot(WorkingSet& ws) { return ws.end_slot_; }
  static std::uint32_t& first_free(WorkingSet& ws) { return ws.first_free_; }
  static std::uint64_t& word(Wsle& wsle) { return wsle.word_; }
  static std::uint64_t& pte(Wsle& wsle) { return wsle.pte_; }
  static RunBitmap& slots(PagingFile& file) { return file.slots_; }
  static PageCount& retired(PagingFile& file) { return file.retired_; }
  static PageLists::Head& modified_of_files(Core& core) PAGODA_NO_THREAD_SAFETY {
    return core.pfns.lists_.heads_[PageLists::kModifiedOfFiles];
  }
  static SparseArray<std::uint32_t>& prototype_frames(Core& core) PAGODA_NO_THREAD_SAFETY {
    return core.pfns.prototype_pages().frames_;
  }
  static PrototypePages& prototype_pages(Core& core) PAGODA_NO_THREAD_SAFETY { return core.pfns.prototype_pages(); }
  static std::vector<std::uint32_t>& idle(PrototypePages& pages) { return pages.idle_; }
  static CompressionStore& store(Core& core) PAGODA_NO_THREAD_SAFETY { return core.store; }
  static std::vector<Pfn>& frames(CompressionStore& store) { return store.frame_; }
  static std::vector<std::uint32_t>& free_chunks(CompressionStore& store) { return store.free_; }
  static std::uint64_t& free_count(CompressionStore& store) { return store.free_chunks_; }
  static PageCount& held(CompressionStore& store) { return store.held_; }
  static PageCount& pages(CompressionStore& store) { return store.pages_; }
  static std::uint32_t& oldest(CompressionStore& store) { return store.oldest_; }
  static std::uint32_t& first_chunk(CompressionStore& store, PageFileSlot slot) {
    return store.entries_[slot.value()].first;
  }
  static std::uint16_t& bytes(CompressionStore& store, PageFileSlot slot) { return store.entries_[slot.value()].bytes; }
  static PageCount& idle_tables(Core& core) PAGODA_NO_THREAD_SAFETY { return core.pfns.idle_tables_; }
  static std::uint16_t& compressed_in(Core& core, Pfn entries) PAGODA_NO_THREAD_SAFETY {
    return core.pfns.compressed_in_[entries.value()];
  }
  static std::uint32_t& next_chunk(CompressionStore& store, std::uint32_t chunk) { return store.links_[chunk].next; }
  static std::vector<std::uint32_t>& hash(WorkingSet& ws) { return ws.hash_; }
  static std::vector<std::uint32_t>& partial_clones(PrototypePool& pool) { return pool.partial_; }
  static void take_free_clone_entry(PrototypePool& pool) { pool.clones_[pool.partial_.back()]->free.pop_back(); }
  static std::uint32_t& clone_references(PrototypePool& pool, VirtualAddress prototype) {
    return pool.clone_page(prototype).references[pool.entry_of(prototype)];
  }
  static std::uint32_t& clone_tag(PrototypePool& pool, VirtualAddress prototype) {
    return pool.clone_page(prototype).tags[pool.entry_of(prototype)];
  }
  static std::uint64_t& tagged_references(PrototypePool& pool) { return pool.tagged_references_; }
  static ContentTable& table(Combiner& combiner) { return combiner.table_; }
  static PageCount& hints(ContentTable& table) { return table.hints_; }
  static PageCount& shared(ContentTable& table) { return table.shared_; }
  static std::span<std::uint64_t, 2> words(ContentTable& table, std::uint32_t number) {
    return std::span<std::uint64_t, 2>(reinterpret_cast<std::uint64_t*>(&table.entry(number)), 2);
  }
  static void set_next(ContentTable& table, std::uint32_t number, std::uint32_t next) {
    table.entry(number).next = next;
  }
  static void set_end(ContentTable& table, std::uint32_t number, std::uint32_t bucket) {
    table.entry(number).next = ContentTable::kEnd | bucket;
  }
  static void set_used(ContentTable& table, std::uint32_t number, bool used) {
    table.entry(number).is_used = used ? 1 : 0;
  }
  static void set_where(ContentTable& table, std::uint32_t number, std::uint32_t where) {
    table.entry(number).where = where;
  }
  static void set_owner(ContentTable& table, std::uint32_t number, std::uint32_t owner) {
    table.entry(number).owner = owner & (ContentTable::kMostOwners - 1);
  }
  static void set_tag(ContentTable& table, std::uint32_t number, std::uint32_t tag) {
    table.entry(number).tag = tag & ContentTable::kMostTag;
  }
  // The entry is in no chain any more, and nobody counts it differently.
  static void lose(ContentTable& table, std::uint32_t number) {
    for (std::size_t bucket = 0; bucket < table.buckets_.size(); ++bucket)
      if (table.buckets_[bucket] == number) table.buckets_[bucket] = table.follow(number);
  }
  static std::vector<ControlArea::Run>& runs(ControlArea& area) { return area.runs_; }
  static PageCount& pages(ControlArea& area) { return area.pages_; }
  static VpnRange& pages(DeviceFrames& device) { return device.pages_; }
  static Pfn& first(DeviceFrames& device) { return device.first_; }
  static std::map<Vpn, Protection>& rights(DeviceFrames& device) { return device.rights_; }
  static void unbalance(Vad& vad) { vad.set_balance(vad.balance() + 1); }
  static void lose_parent(Vad& vad) { vad.parent_ = &vad; }
};

namespace testing {

// Rules that check_corruption_sections_test.cpp sees broken.
std::vector<std::string_view> rules_broken_with_sections();
// Those that check_corruption_device_test.cpp sees broken.
std::vector<std::string_view> rules_broken_with_device_frames();
// Those that check_corruption_compression_test.cpp sees broken.
std::vector<std::string_view> rules_broken_with_compression();
// Those that check_corruption_combine_test.cpp sees broken.
std::vector<std::string_view> rules_broken_with_sharing();

}  // namespace testing
// Does something while a word has a wild value: random, one bit off, small, or zero.
template <class Word, class Meanwhile>
void with_wild_value(Random& random, Word& word, const Meanwhile& meanwhile) {
  const Word before = word;
  switch (random.below(4)) {
    case 0:
      word = static_cast<Word>(random.next());
      break;
    case 1:
      word = static_cast<Word>(word ^ Word{1} << random.below(sizeof(Word) * 8));
      break;
    case 2:
      word = static_cast<Word>(random.below(300));
      break;
    default:
      word = 0;
  }
  meanwhile();
  word = before;
}

}  // namespace pagoda::mm
