import type { Redis } from 'ioredis'

/** Replies of this size on average are large. */
const minBytesPerReply = 16 * 1024
/** Over this many ticks of a watchdog, so that a short pause does not look like silence. */
const ticks = 4

interface Sample {
  readonly bytes: number
  readonly ended: number
}

/**
 * Returns a function that detects whether large replies are arriving on a connection. The replies behind them are late
 * although the server is not. Called at each tick of a watchdog, with the number of calls that have ended.
 */
export function largeReplyDetector(client: Redis): (ended: number) => boolean {
  const samples: Sample[] = []
  return (ended) => {
    const { bytesRead: bytes = 0 } = (client.stream ?? {}) as { readonly bytesRead?: number }
    samples.push({ bytes, ended })
    const oldest = (samples.length > ticks ? samples.shift() : samples[0]) as Sample
    const received = bytes - oldest.bytes
    return received >= minBytesPerReply * (ended - oldest.ended + 1)
  }
}
