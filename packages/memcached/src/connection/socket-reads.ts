import type { OnReadOpts } from 'node:net'

/** The size of Node's own reads. */
const blockBytes = 64 * 1024

/**
 * Makes a socket read into one reused block, and passes `onData` a copy of the data. A value is a view of that copy, so
 * it must neither change nor keep more memory alive than it was received with. By default Node allocates a block for
 * every read and passes it through a stream, which costs as much as a dozen replies. A block that is more than half full
 * is passed on without a copy.
 */
export function socketReads(onData: (data: Buffer) => void): OnReadOpts {
  let block = Buffer.allocUnsafeSlow(blockBytes)
  return {
    buffer: () => block,
    callback(bytes) {
      const data = block.subarray(0, bytes)
      if (bytes > blockBytes / 2) {
        block = Buffer.allocUnsafeSlow(blockBytes)
        onData(data)
      } else {
        const copy = Buffer.allocUnsafeSlow(bytes)
        copy.set(data)
        onData(copy)
      }
      return true
    },
  }
}
