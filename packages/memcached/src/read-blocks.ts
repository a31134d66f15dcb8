import type { OnReadOpts } from 'node:net'

/** As much as Node reads at once. */
const blockBytes = 64 * 1024
/** A read gets no less room. */
const leastRoom = 16 * 1024

/**
 * Has a socket read into blocks that are filled piece by piece. By default it makes a block for every read, and takes
 * it through a stream, which costs as much as a dozen answers. What was read is never written over: values are views
 * of it.
 */
export function intoBlocks(receive: (piece: Buffer) => void): OnReadOpts {
  let free = Buffer.allocUnsafeSlow(blockBytes)
  return {
    buffer() {
      if (free.length < leastRoom) free = Buffer.allocUnsafeSlow(blockBytes)
      return free
    },
    callback(bytes) {
      const piece = free.subarray(0, bytes)
      free = free.subarray(bytes)
      receive(piece)
      return true
    },
  }
}
