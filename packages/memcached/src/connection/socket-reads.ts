import type { OnReadOpts } from 'node:net'

/** The size of Node's own reads. */
const blockBytes = 64 * 1024

/**
 * Makes a socket read into one block, which is reused for every read: `onData` must copy what it keeps. By default Node
 * allocates a block for every read and passes it through a stream, which costs as much as a dozen replies.
 *
 * The block is never replaced: if the application throws in the tick of a read, and survives it by a listener for
 * `uncaughtException`, Node continues to read into the previous block.
 */
export function socketReads(onData: (data: Buffer) => void): OnReadOpts {
  const block = Buffer.allocUnsafeSlow(blockBytes)
  return {
    buffer: block,
    callback(bytes) {
      onData(block.subarray(0, bytes))
      return true
    },
  }
}
