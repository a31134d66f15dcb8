import { hash } from 'node:crypto'
import { RecentMap } from '@stowage/core/internal'

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

/** A map of recent keys whose size depends on their number only, and not on their length. */
export class ShortKeyMap<V extends {}> extends RecentMap<V> {
  override get(key: string): V | undefined {
    return super.get(shortKey(key))
  }

  override set(key: string, value: V): void {
    super.set(copyOf(shortKey(key)), value)
  }

  override delete(key: string): void {
    super.delete(shortKey(key))
  }
}
