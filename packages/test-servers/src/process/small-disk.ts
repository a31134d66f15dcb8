import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atExit } from './at-exit.ts'

/** A file system of a few megabytes. */
export interface SmallDisk {
  /** Every user may write to it. */
  readonly path: string
  /** Uses its space, except some bytes, until `free()`. */
  readonly fill: (exceptBytes?: number) => void
  readonly free: () => void
  readonly unmount: () => void
}

/** Mounts a file system, until this process exits. `undefined` where that is not permitted: it needs root. */
export function mountSmallDisk(mebibytes: number): SmallDisk | undefined {
  const path = mkdtempSync(join(tmpdir(), 'stowage-small-disk-'))
  try {
    const options = `size=${mebibytes}m`
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    rmdirSync(path)
    return undefined
  }
  chmodSync(path, 0o777)
  const detach = () => {
    execFileSync('umount', ['-l', path])
    rmdirSync(path)
  }
  const cancel = atExit(detach)
  const filler = join(path, 'filler')
  return {
    path,
    fill: (exceptBytes = 0) => {
      const { bavail, bsize } = statfsSync(path)
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - exceptBytes)))
    },
    free: () => rmSync(filler),
    unmount: () => {
      cancel()
      detach()
    },
  }
}
