import type { OnReadOpts } from 'node:net'

/** As much as Node reads at once. */
const blockBytes = 64 * 1024

/**
 * Has a socket read into one block, of which `receive` gets a copy: a value is a view of it, which must neither change
 * nor keep more in memory than came with it. By default Node makes a block for every read and takes it through a
 * stream, which costs as much as a dozen answers. A block that is more than half full is handed over as it is.
 */
export function intoBlocks(receive: (piece: Buffer) => void): OnReadOpts {
  let block = Buffer.allocUnsafeSlow(blockBytes)
  return {
    buffer: () => block,
    callback(bytes) {
      const piece = block.subarray(0, bytes)
      if (bytes > blockBytes / 2) {
        block = Buffer.allocUnsafeSlow(blockBytes)
        receive(piece)
      } else {
        const copy = Buffer.allocUnsafeSlow(bytes)
        copy.set(piece)
        receive(copy)
      }
      return true
    },
  }
}
