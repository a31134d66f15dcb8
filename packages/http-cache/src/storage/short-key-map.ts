import { hash } from 'node:crypto'
import { RecentMap } from '@stowage/core/internal'

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
