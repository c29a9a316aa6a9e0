import type { Session } from "../api/types";

const DAY_MS = 86_400_000;

/** Chats under the words that people use for when they were. `now` and the days are of this page's clock and time zone. */
export function byAge(sessions: readonly Session[], now: Date): { label: string; sessions: Session[] }[] {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const groups: { label: string; sessions: Session[] }[] = [];
  for (const session of sessions) {
    const label = age(Date.parse(session.updated_at), midnight);
    const last = groups.at(-1);
    if (last?.label === label) last.sessions.push(session);
    else groups.push({ label, sessions: [session] });
  }
  return groups;
}

function age(moment: number, midnight: number): string {
  if (!(moment < midnight)) return "Today";
  if (moment >= midnight - DAY_MS) return "Yesterday";
  if (moment >= midnight - 7 * DAY_MS) return "Last 7 days";
  if (moment >= midnight - 30 * DAY_MS) return "Last 30 days";
  return new Date(moment).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

export function timeOf(at: string | null): string {
  if (at === null) return "";
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
