const euros = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' })
const integer = new Intl.NumberFormat('en-IE')
const percent = new Intl.NumberFormat('en-IE', { style: 'percent', maximumFractionDigits: 1 })
const dateTimeFormat = new Intl.DateTimeFormat('en-IE', {
  dateStyle: 'long',
  timeStyle: 'short',
  timeZone: 'UTC',
})
const units = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const

export function price(cents: number): string {
  return euros.format(cents / 100)
}

export function count(value: number): string {
  return integer.format(value)
}

export function percentage(ratio: number): string {
  return percent.format(ratio)
}

/** Milliseconds, with one decimal below 10, and two below 1. */
export function timing(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${integer.format(Math.round(ms))} ms`
}

/** A duration in its two largest units: `1 day 2 hours`, `48 seconds`. */
export function duration(ms: number): string {
  let remaining = Math.max(0, Math.round(ms / 1000))
  const words: string[] = []
  for (const [name, seconds] of units) {
    const amount = Math.floor(remaining / seconds)
    remaining %= seconds
    if (amount > 0) words.push(`${amount} ${name}${amount === 1 ? '' : 's'}`)
  }
  return words.slice(0, 2).join(' ') || '0 seconds'
}

export function dateTime(date: Date): string {
  return `${dateTimeFormat.format(date)} UTC`
}
