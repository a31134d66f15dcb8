import { hash } from 'node:crypto'

/** What this process remembers of a key, in order to ask for all parts of a response in one turn. */
export interface Hint {
  /** The record of `Vary` that was read last. */
  readonly vary?: { readonly fill: string; readonly names: readonly string[] }
  /** The fill that was read last, whose encoded bodies may be asked for. */
  readonly fill?: string
  /** What the key of a body that is stored apart has after the key of its response. */
  readonly bodySuffix?: string | undefined
}

/** Longer keys are replaced by a digest, in characters: URLs of clients have up to 16 KB, and a map has thousands of them. */
const maxKey = 128

function shortKey(key: string): string {
  return key.length <= maxKey ? key : `#${hash('sha256', key, 'base64url')}`
}

/** Returns a text that does not keep the longer one in memory of which V8 has made it. */
export function copyOf(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}

/** A map that forgets the oldest entries. Its size depends on their number only, and not on the length of the keys. */
export class RecentMap<V> {
  readonly #max: number
  #entries = new Map<string, V>()
  #older = new Map<string, V>()

  constructor(max: number) {
    this.#max = Math.ceil(max / 2)
  }

  get(key: string): V | undefined {
    const short = shortKey(key)
    const value = this.#entries.get(short)
    if (value !== undefined) return value
    if (this.#older.size === 0) return undefined
    const old = this.#older.get(short)
    if (old !== undefined) this.#set(short, old)
    return old
  }

  set(key: string, value: V): void {
    this.#set(shortKey(key), value)
  }

  #set(short: string, value: V): void {
    if (this.#entries.size >= this.#max) {
      this.#older = this.#entries
      this.#entries = new Map()
    }
    this.#entries.set(copyOf(short), value)
  }

  delete(key: string): void {
    const short = shortKey(key)
    this.#entries.delete(short)
    this.#older.delete(short)
  }
}
