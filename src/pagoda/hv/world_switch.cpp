#include "pagoda/hv/world_switch.h"

namespace pagoda::hv {

void WorldSwitch::enter(machine::Processor& host) {
  PAGODA_CHECK(host_ == nullptr);
  mm::MemoryManager& manager = memory_.host();
  host_ = &host;
  host_space_ = manager.attached(host);
  manager.attach(host, memory_.vmmem());
  host.charge(host.machine().costs().world_switch);
  ++counts_.dispatches;
}

void WorldSwitch::leave() {
  PAGODA_CHECK(!in_host_);
  if (host_space_ != nullptr) {
    memory_.host().attach(host(), *host_space_);
  } else {
    memory_.host().detach(host());
  }
  host_space_ = nullptr;
  host_ = nullptr;
}

WorldSwitch::Exit::Exit(WorldSwitch& world)
    : world_(world), was_in_host_(world.in_host_), waiting_(world.host().waiting()), waited_(world.host().waited()) {
  machine::Processor& host = world.host();
  PAGODA_DCHECK(world.memory_.host().attached(host) == &world.memory_.vmmem());
  host.catch_up_with(world.guest_);
  if (was_in_host_) return;
  host.set_waiting(machine::Processor::Waiting::kAdvancesClock);
  host.charge(host.machine().costs().world_switch);
  ++world.counts_.exits;
  world.in_host_ = true;
}

WorldSwitch::Exit::~Exit() {
  machine::Processor& host = world_.host();
  world_.guest_.catch_up_with(host);
  if (was_in_host_) return;
  world_.waited_ += host.waited() - waited_;
  host.set_waiting(waiting_);
  world_.in_host_ = false;
}

WorldSwitch::Visit::Visit(WorldSwitch& world, machine::Processor& host)
    : world_(world), was_running_(world.is_running()), host_(was_running_ ? world.host() : host), began_(host_.now()) {
  if (!was_running_) world_.enter(host_);
}

WorldSwitch::Visit::~Visit() {
  if (!was_running_) world_.leave();
  host_.resume_at(began_);
}

}  // namespace pagoda::hv
