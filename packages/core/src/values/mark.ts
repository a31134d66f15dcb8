import { types } from 'node:util'
import type { Payload } from '../store.ts'
import { toText } from './payload.ts'

/**
 * A mark is an item that reads as a miss:
 *
 *     0x01  0x02  kind  token  "."  count  "."  milliseconds  [ "."  end ]
 *
 * The first two bytes identify it before any codec, so no codec returns a payload that begins with them. Hits-for-miss and
 * failures state when they end, because a `touch` by an application moves the expiry of a mark as well.
 *
 * - A lease (`L`): a process loads the value. It renews the lease by a higher count.
 * - A hit-for-miss (`P`): the value cannot be kept, so each process loads it for itself.
 * - A failure (`F`): the load failed, and is not repeated for a while.
 * - A change (`C`): what the value is loaded from is being changed, so that no load is stored. Its token is the list of those
 *   who make the change, see `changing/shared-mark.ts`. It lies in the version of a tag as well.
 */
const firstByte = 0x01
const secondByte = 0x02
/** How the kinds are stored. */
const letters = { lease: 'L', hitForMiss: 'P', failure: 'F', change: 'C' } as const
// Behind the two bytes.
const pattern = /^([LPFC])([\w:,-]+)\.(\d+)\.(\d+)(?:\.(\d+))?$/

export type MarkKind = keyof typeof letters

const kinds = new Map(Object.entries(letters).map(([kind, letter]) => [letter, kind as MarkKind]))

export class Mark {
  readonly kind: MarkKind
  /** Identifies the load, or those who make a change. */
  readonly token: string
  /** How often the mark was replaced by another one of its kind. */
  readonly count: number
  /** How long the mark is valid after it was written, in milliseconds. */
  readonly ms: number
  /** When it ends, independently of its expiry in the store: epoch milliseconds, by the clock of the backend. */
  readonly end: number | undefined

  constructor(kind: MarkKind, token: string, count: number, ms: number, end?: number) {
    this.kind = kind
    this.token = token
    this.count = count
    this.ms = ms
    this.end = end
  }

  /** The payload of the mark. */
  toString(): string {
    const end = this.end === undefined ? '' : `.${this.end}`
    return `\x01\x02${letters[this.kind]}${this.token}.${this.count}.${this.ms}${end}`
  }
}

/** Returns whether an item is the mark of a change. */
export function isChangeMark(item: unknown): boolean {
  if (item instanceof Mark) return item.kind === 'change'
  return isMark(item) && parseMark(item)?.kind === 'change'
}

/** Returns whether an item is a mark, or a mark of a newer version. */
export function isMark(item: unknown): boolean {
  if (typeof item === 'string') {
    return item.charCodeAt(0) === firstByte && item.charCodeAt(1) === secondByte
  }
  if (types.isUint8Array(item)) return item[0] === firstByte && item[1] === secondByte
  return item instanceof Mark
}

/** Returns the mark that an item is, if it is one. */
export function parseMark(item: unknown): Mark | undefined {
  if (item instanceof Mark) return item
  if (!isMark(item)) return undefined
  const match = pattern.exec(toText(item as Payload).slice(2))
  if (match === null) return undefined
  const [, letter, token, count, ms, end] = match
  const kind = kinds.get(letter as (typeof letters)[MarkKind]) as MarkKind
  const until = end === undefined ? undefined : Number(end)
  return new Mark(kind, token as string, Number(count), Number(ms), until)
}

/** Returns the item of a mark: the mark itself in a store that keeps values by reference. */
export function toMarkItem(store: { readonly payload: 'bytes' | 'entry' }, mark: Mark): unknown {
  return store.payload === 'entry' ? mark : mark.toString()
}
