/** The longest of the three formats has 33 characters. */
const maxDate = 40
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const time = '(\\d\\d):(\\d\\d):(\\d\\d)'
const fixdate = new RegExp(
  `^(?:mon|tue|wed|thu|fri|sat|sun), (\\d\\d) ([a-z]{3}) (\\d{4}) ${time} gmt$`,
)
const rfc850 = new RegExp(
  `^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\\d\\d)-([a-z]{3})-(\\d\\d) ${time} gmt$`,
)
const asctime = new RegExp(
  `^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \\d]\\d) ${time} (\\d{4})$`,
)

/**
 * Parses an HTTP date in one of the three formats of RFC 9110 section 5.6.7, into epoch milliseconds. Returns `undefined`
 * for any other text: `Date.parse` accepts much more, and a recipient must treat an invalid `Expires` as expired.
 *
 * @param now epoch milliseconds, for the century of a year with two digits
 */
export function parseHttpDate(value: string | undefined, now: number): number | undefined {
  if (value === undefined || value.length > maxDate) return undefined
  const text = value.toLowerCase()
  const fixed = fixdate.exec(text)
  if (fixed !== null) return utc(fixed[3], fixed[2], fixed[1], fixed.slice(4))
  const old = rfc850.exec(text)
  if (old !== null) return utc(fullYear(Number(old[3]), now), old[2], old[1], old.slice(4))
  const c = asctime.exec(text)
  if (c !== null) return utc(c[6], c[1], c[2], c.slice(3, 6))
  return undefined
}

/** A year that appears to be more than 50 years in the future is in the past (RFC 9110 section 5.6.7). */
function fullYear(twoDigits: number, now: number): number {
  const current = new Date(now).getUTCFullYear()
  const year = current - (current % 100) + twoDigits
  return year > current + 50 ? year - 100 : year
}

function utc(
  year: string | number | undefined,
  month: string | undefined,
  day: string | undefined,
  [hour, minute, second]: readonly (string | undefined)[],
): number | undefined {
  const index = months.indexOf(month ?? '')
  if (index < 0) return undefined
  const [dayOfMonth, ...time] = numbers(day, hour, minute, second)
  const isDay = new Date(Date.UTC(Number(year), index, dayOfMonth)).getUTCMonth() === index
  return isDay && isTime(time) ? Date.UTC(Number(year), index, dayOfMonth, ...time) : undefined
}

/** Whether a time of day exists, which `Date.UTC` does not check. A minute may have a leap second. */
function isTime([hour, minute, second]: readonly [number, number, number]): boolean {
  return hour <= 23 && minute <= 59 && second <= 60
}

function numbers(...texts: (string | undefined)[]): [number, number, number, number] {
  return texts.map(Number) as [number, number, number, number]
}
