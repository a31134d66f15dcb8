const euros = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' })
const whole = new Intl.NumberFormat('en-IE')
const percent = new Intl.NumberFormat('en-IE', { style: 'percent', maximumFractionDigits: 1 })
const moment = new Intl.DateTimeFormat('en-IE', {
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
  return whole.format(value)
}

export function share(ratio: number): string {
  return percent.format(ratio)
}

/** Milliseconds, with as many digits as mean something. */
export function timing(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${whole.format(Math.round(ms))} ms`
}

/** A span in its two largest units: `1 day 2 hours`, `48 seconds`. */
export function span(ms: number): string {
  let rest = Math.max(0, Math.round(ms / 1000))
  const words: string[] = []
  for (const [name, seconds] of units) {
    const amount = Math.floor(rest / seconds)
    rest %= seconds
    if (amount > 0) words.push(`${amount} ${name}${amount === 1 ? '' : 's'}`)
  }
  return words.slice(0, 2).join(' ') || '0 seconds'
}

export function dateTime(date: Date): string {
  return `${moment.format(date)} UTC`
}
