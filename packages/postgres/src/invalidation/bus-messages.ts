import { RecentMap } from '@stowage/core/internal'

/** The server accepts less than 8,000 bytes. */
const maxMessageBytes = 7_999
/** Of the keys of a tick. More of them mean that any key may have changed. */
const maxBatchBytes = 64 * 1024
const maxSenders = 1_000

export interface BusMessage {
  /** Identifies the bus that has sent it. */
  readonly from: string
  /** Counts the messages of the sender. Missing in a message that is part of a transaction: its order is that of the commits. */
  readonly number: number | undefined
  /** The keys that have changed; `undefined` if any key may have. */
  readonly keys: readonly string[] | undefined
  /** Identifies a message that only tests whether messages arrive. */
  readonly probe: string | undefined
}

/**
 * Returns the texts of messages that contain the keys, each short enough for the server.
 *
 * @param nextNumber returns the number of the next message; `undefined` for none
 */
export function formatMessages(
  from: string,
  keys: readonly string[] | undefined,
  nextNumber: () => number | undefined,
): string[] {
  const format = (some: readonly string[] | null) =>
    JSON.stringify({ from, number: nextNumber(), keys: some })
  const chunks = keys === undefined ? undefined : chunksOf(keys)
  return chunks === undefined ? [format(null)] : chunks.map(format)
}

export function formatProbe(from: string, probe: string): string {
  return JSON.stringify({ from, probe })
}

/** Returns `undefined` if the keys are too long. */
function chunksOf(keys: readonly string[]): string[][] | undefined {
  const room = maxMessageBytes - Buffer.byteLength(longestHead)
  const chunks: string[][] = []
  let left = 0
  let total = 0
  for (const key of keys) {
    const bytes = Buffer.byteLength(JSON.stringify(key)) + 1
    total += bytes
    if (bytes > room || total > maxBatchBytes) return undefined
    if (bytes > left) {
      chunks.push([])
      left = room
    }
    chunks.at(-1)?.push(key)
    left -= bytes
  }
  return chunks
}

const longestHead = JSON.stringify({
  from: '-'.repeat(36),
  number: Number.MAX_SAFE_INTEGER,
  keys: [],
})

/** Any other text means that any key may have changed: other programs may send messages as well. */
export function parseMessage(text: string): BusMessage {
  const parsed = objectOf(text)
  const { from, number, keys, probe } = parsed
  const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'string')
  return {
    from: typeof from === 'string' ? from : '',
    number: Number.isSafeInteger(number) ? (number as number) : undefined,
    keys: isList ? keys : undefined,
    probe: typeof probe === 'string' ? probe : undefined,
  }
}

function objectOf(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** Detects by their numbers that messages of a sender have not arrived. */
export class MessageNumbers {
  readonly #last = new RecentMap<number>(maxSenders)

  /** Returns whether a message of the sender is missing before this one. */
  isGap({ from, number }: BusMessage): boolean {
    if (number === undefined) return false
    const last = this.#last.get(from)
    this.#last.set(from, number)
    return last !== undefined && number !== last && number !== last + 1
  }
}
