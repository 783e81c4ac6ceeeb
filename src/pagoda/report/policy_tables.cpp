#include "pagoda/report/policy_tables.h"

#include <fmt/format.h>

#include "pagoda/report/html_table.h"
#include "pagoda/report/policy_story.h"

namespace pagoda::report {

namespace {

std::string accounts_table(const sim::RunResult& run, const sim::PolicyResult& policy) {
  Table table(
      "What each machine had, was owed and gave. Owed: what its shares give it of all that the machines held, between "
      "its "
      "minimum and its maximum. Averages over the rounds in which it ran.",
      {"Virtual machine", "Shares", "Minimum", "Held", "Owed", "Active<br>(estimate)", "Asked of it<br>by balloon",
       "Taken<br>by paging", "Given back", "Not let run", "Its programs<br>waited", "Others waited<br>because of it"});
  for (std::size_t i = 0; i < run.vms.size(); ++i) {
    const sim::PolicyAccount& account = policy.accounts[i];
    table.row(escape_html(run.vms[i].name),
              {grouped(account.shares), bytes_text(account.minimum), size_cell(account.held), size_cell(account.fair),
               size_cell(account.active), size_cell(account.asked_by_balloon), size_cell(account.taken_by_paging),
               size_cell(account.given_back), duration_text(account.blocked), duration_text(account.waited),
               duration_text(account.made_others_wait)});
  }
  return std::move(table).html();
}

std::string bill_table(const sim::RunResult& run, const sim::PolicyResult& policy) {
  if (run.vms.size() > sim::kMostBilled) return {};
  if (policy.charges.empty()) return nothing("No machine waited for memory in a round of the policy.");
  Table table(
      "The bill: who waited because of whom. A machine that had less than it is owed waits because of those that had "
      "more; one that had enough, or from which nothing was taken, waits for itself.",
      {"Who waited", "Because of", "For"});
  for (const sim::PolicyCharge& charge : policy.charges) {
    table.row(escape_html(run.vms[charge.payer].name),
              {charge.payer == charge.taker ? "itself" : escape_html(run.vms[charge.taker].name),
               duration_text(charge.waited)});
  }
  return std::move(table).html();
}

std::string decisions_list(const sim::RunResult& run, const sim::PolicyResult& policy) {
  const std::vector<std::string> sentences = decision_sentences(run, kDecisionsShownMax);
  if (sentences.empty()) return nothing("The policy moved nothing.");
  std::string out =
      fmt::format("<details><summary>{} of the policy</summary>\n<ol class=\"incidents\" tabindex=\"0\">\n",
                  counted(policy.decisions, "decision"));
  for (const std::string& sentence : sentences) out += fmt::format("<li>{}</li>\n", escape_html(sentence));
  out += "</ol>\n";
  if (policy.decisions > sentences.size())
    out += fmt::format("<p class=\"lead\">And {} more.</p>\n", grouped(policy.decisions - sentences.size()));
  return out + "</details>\n";
}

}  // namespace

std::string policy_tables_html(const sim::RunResult& run) {
  if (!run.policy) return {};
  return heading(fmt::format("Memory policy: {}", escape_html(run.policy->name))) + accounts_table(run, *run.policy) +
         bill_table(run, *run.policy) + decisions_list(run, *run.policy);
}

}  // namespace pagoda::report
