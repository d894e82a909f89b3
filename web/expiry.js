/**
 * When a link ends, as people say it: a date, and how far away it is.
 *
 * Days are UTC days, because links end with a UTC day: nobody is told "tomorrow" by one clock and "today" by another.
 */

const DAY_MS = 24 * 60 * 60 * 1000;

/** `{date, words, expired}` of an expiry in ISO form or ms since 1970, or null for never, as seen at the Date `now`. */
export function expiryOf(expires, now) {
  if (expires === null) return { date: null, words: "never expires", expired: false };
  const end = new Date(expires);
  const expired = end <= now;
  const days = Math.floor(end / DAY_MS) - Math.floor(now / DAY_MS);
  return {
    date: end.toISOString().slice(0, 10),
    words: expired ? `expired ${distance(days)}` : distance(days),
    expired,
  };
}

/** `2026-12-23 (in a month)`, `2026-11-20 (expired 3 days ago)` or `never expires`. */
export function expirySentence(expires, now) {
  const { date, words } = expiryOf(expires, now);
  return date === null ? words : `${date} (${words})`;
}

/** What people choose from when they make or change a link: `value` is for `endAfter`. */
export const CHOICES = [
  { value: "day", words: "In a day" },
  { value: "week", words: "In a week" },
  { value: "month", words: "In a month" },
  { value: "half-year", words: "In 6 months" },
  { value: "year", words: "In a year" },
  { value: "never", words: "Never" },
];

const DAYS = { day: 1, week: 7 };
const MONTHS = { month: 1, "half-year": 6, year: 12 };

/** The end of the UTC day that lies a choice after the Date `start`, in ms since 1970; null for never. */
export function endAfter(choice, start) {
  if (choice === "never") return null;
  const end = new Date(start);
  if (choice in DAYS) {
    end.setUTCDate(end.getUTCDate() + DAYS[choice]);
  } else {
    // A month later is its last day where it has no such day: never the month after.
    const day = end.getUTCDate();
    end.setUTCDate(1);
    end.setUTCMonth(end.getUTCMonth() + MONTHS[choice]);
    end.setUTCDate(Math.min(day, new Date(Date.UTC(end.getUTCFullYear(), end.getUTCMonth() + 1, 0)).getUTCDate()));
  }
  return endOfDay(end.toISOString().slice(0, 10));
}

/** The last millisecond of a UTC day such as "2026-12-23", in ms since 1970; null where it is no day. */
export function endOfDay(day) {
  const start = Date.parse(`${day}T00:00:00.000Z`);
  return Number.isNaN(start) ? null : start + DAY_MS - 1;
}

/** Whole days in words: today, tomorrow, in 5 days, in a month, 3 months ago. */
function distance(days) {
  if (days === 0) return "today";
  if (days === 1) return "tomorrow";
  if (days === -1) return "yesterday";
  const length = span(Math.abs(days));
  return days > 0 ? `in ${length}` : `${length} ago`;
}

/** Coarser with distance. The default link of one calendar month (28 to 31 days) must read "a month". */
function span(days) {
  if (days < 26) return `${days} days`;
  if (days < 46) return "a month";
  if (days < 320) return `${Math.round(days / 30.44)} months`;
  if (days < 548) return "a year";
  return `${Math.round(days / 365.25)} years`;
}
