import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { CacheError } from '@stowage/core'
import { bootId, isSameBoot } from '../time/boot-id.ts'

/** Version of the layout of keys and values. */
const format = 1
const bits = ['arm', 'ia32', 'mips', 'mipsel'].includes(process.arch) ? 32 : 64

/** Links are not followed. Windows has no such flag. */
const noLinks = constants.O_NOFOLLOW ?? 0
// Node accepts numbers here, which its types do not say.
const readFlags = (constants.O_RDONLY | noLinks) as unknown as string
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noLinks

/** Contents of `state.json`, which is readable without LMDB. */
interface FileState {
  readonly format: number
  readonly endianness: 'LE' | 'BE'
  /** Size of a pointer, which the layout of pages depends on. */
  readonly bits: 32 | 64
  /** Boot of the machine in which the file was written. */
  readonly bootId: string
  /** Whether the last process closed the file and everything is on disk. */
  readonly isClean: boolean
}

/** The file `state.json` beside the data. It tells whether the data may be opened. */
export class StateFile {
  readonly #path: string

  constructor(directory: string) {
    this.#path = join(directory, 'state.json')
  }

  /** @throws CacheError `ERR_CACHE_CONFIG` if the layout is another one */
  read(): FileState | undefined {
    let state: FileState | null
    try {
      state = JSON.parse(readFileSync(this.#path, { encoding: 'utf8', flag: readFlags }))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError)
        return undefined
      throw error
    }
    if (typeof state !== 'object' || state === null) return undefined
    if (state.format === format && state.endianness === endianness() && state.bits === bits)
      return state
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      `The file beside ${this.#path} has format ${state.format} (${state.bits} bits, ${state.endianness}); this ` +
        `process uses format ${format} (${bits} bits, ${endianness()}). Delete the directory, or choose another path.`,
      { store: 'lmdb' },
    )
  }

  /** Whether a crash of the operating system may have damaged a file that is not written with durability `'power'`. */
  static mayBeTorn({ isClean, bootId: id }: FileState): boolean {
    return !isClean && !isSameBoot(id, bootId())
  }

  /** Writes the state of the current boot, unless it is the stored one. */
  write(isClean: boolean, stored?: FileState): void {
    if (stored?.isClean === isClean && stored.bootId === bootId()) return
    const state: FileState = { format, endianness: endianness(), bits, bootId: bootId(), isClean }
    const temporary = `${this.#path}.${process.pid}`
    // One that a process with the same id has left, as in containers, or a link that another user has planted.
    rmSync(temporary, { force: true })
    const descriptor = openSync(temporary, createFlags, 0o600)
    try {
      writeFileSync(descriptor, `${JSON.stringify(state)}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, this.#path)
  }
}
