import { Mark, parseMark } from '../values/mark.ts'

/** Who makes a change, as the mark of the change records it. */
export interface Holder {
  readonly id: string
  /** How long the mark is stored after this holder has written it, in milliseconds. */
  readonly ms: number
  /** When the holder is taken to have ended: epoch milliseconds, by the clock of the backend. */
  readonly end: number
}

/**
 * How much later than its mark expires a holder is taken to have ended. Only those use it who find a mark that outlives
 * its holder, because it is that of a tag, or another holder or a `touch` has extended it: the difference of their clocks
 * must not matter.
 */
const graceShare = 1

/** Returns a holder that writes the mark at the time `now` of the backend. */
export function holderAt(id: string, ms: number, now: number): Holder {
  return { id, ms, end: Math.ceil(now + ms * (1 + graceShare)) }
}

/** Returns the holders that a mark of a change records, without those that have ended. No other item has any. */
export function holdersOf(item: unknown, now: number): Holder[] {
  const mark = parseMark(item)
  if (mark?.kind !== 'change') return []
  return mark.token
    .split(',')
    .map((text) => text.split(':'))
    .map(([id = '', ms, end]) => ({ id, ms: Number(ms), end: Number(end) }))
    .filter(({ end }) => end > now)
}

/**
 * Returns the mark of a change with these holders. It differs from every earlier one of the key that the holders have seen.
 *
 * @param replaced the item that it replaces
 */
export function changeMark(holders: readonly Holder[], replaced: unknown): Mark {
  const token = holders.map(({ id, ms, end }) => `${id}:${ms}:${end}`).join(',')
  const earlier = parseMark(replaced)
  const count = earlier?.kind === 'change' ? earlier.count + 1 : 0
  const ms = Math.max(...holders.map((each) => each.ms))
  return new Mark('change', token, count, ms, Math.max(...holders.map(({ end }) => end)))
}
