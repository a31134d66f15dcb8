import { resolve } from 'node:path'
import { type ByteSize, CacheError, type Clock, type Duration } from '@stowage/core'
import { checkBytes, checkChoice, checkOptionNames, checkTimeout } from '@stowage/core/driver'
import { MachineClock } from './time/machine-clock.ts'

export const durabilities = ['process', 'power'] as const
export type Durability = (typeof durabilities)[number]

export const onDamageChoices = ['reset', 'error'] as const
export type OnDamage = (typeof onDamageChoices)[number]

/** Of `maxBytes`. */
export const minBytes: number = 1024 * 1024
/** Of `maxBytes`: a map of twice the size fits into the addresses of a process, which has 128 TiB of them. */
const largestBytes = 2 ** 45

export interface LmdbOptions {
  /**
   * Directory of the file, on a local disk. It is created with mode 0700. Stores with the same path share their items,
   * also in other processes of this machine. @default '.cache'
   */
  readonly path?: string | undefined
  /**
   * Maximum size of the data, at least 1 MiB. Above it, expired items are deleted first, then items that were not read
   * lately. The file may be up to a quarter larger, and below 4 MiB by half. All processes should set the same size.
   * @default '256MiB'
   */
  readonly maxBytes?: ByteSize | undefined
  /** Largest value. @default a 16th of `maxBytes` */
  readonly maxValueBytes?: ByteSize | undefined
  /**
   * What an acknowledged write survives. `'process'`: the end of any process, also by SIGKILL; after a power failure or a
   * crash of the operating system, the cache starts empty. `'power'`: also these. Every commit then waits for the
   * disk, and blocks the event loop for that time. @default 'process'
   */
  readonly durability?: Durability | undefined
  /**
   * What happens to a damaged or foreign file. `'reset'` moves it aside, emits a warning, and starts empty. `'error'`
   * fails with `ERR_CACHE_UNAVAILABLE` and leaves the file as it is. @default 'reset'
   */
  readonly onDamage?: OnDamage | undefined
  /** How long a call waits while another process writes, or is stopped while it writes. @default '5s' */
  readonly timeout?: Duration | undefined
  /** How often expired items are deleted. Reads never return them. @default '1s' */
  readonly sweepInterval?: Duration | undefined
  /** @default the time since the start of the machine, which cannot be set */
  readonly clock?: Clock | undefined
}

export interface ResolvedLmdbOptions {
  readonly path: string
  readonly maxBytes: number
  readonly maxValueBytes: number
  readonly durability: Durability
  readonly onDamage: OnDamage
  readonly timeoutMs: number
  readonly sweepIntervalMs: number
  readonly clock: Clock
}

const optionNames = {
  path: true,
  maxBytes: true,
  maxValueBytes: true,
  durability: true,
  onDamage: true,
  timeout: true,
  sweepInterval: true,
  clock: true,
} as const

/** Checks the options and completes them. @throws CacheError `ERR_CACHE_CONFIG` for invalid ones */
export function resolveOptions(options: LmdbOptions): ResolvedLmdbOptions {
  checkOptionNames('lmdb', options, optionNames, "lmdb({ path: '.cache' })")
  const maxBytes = checkBytes(
    'lmdb: maxBytes',
    options.maxBytes ?? '256MiB',
    minBytes,
    largestBytes,
  )
  const largest = Math.floor(maxBytes / 16)
  return {
    path: resolve(checkPath(options.path ?? '.cache')),
    maxBytes,
    maxValueBytes: checkBytes(
      'lmdb: maxValueBytes',
      options.maxValueBytes ?? largest,
      1,
      maxBytes / 4,
    ),
    durability: checkChoice('lmdb: durability', options.durability ?? 'process', durabilities),
    onDamage: checkChoice('lmdb: onDamage', options.onDamage ?? 'reset', onDamageChoices),
    timeoutMs: checkTimeout('lmdb: timeout', options.timeout ?? '5s'),
    sweepIntervalMs: checkTimeout('lmdb: sweepInterval', options.sweepInterval ?? '1s'),
    clock: options.clock ?? new MachineClock(),
  }
}

function checkPath(path: string): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path
  throw new CacheError('ERR_CACHE_CONFIG', 'lmdb: path must be the path of a directory.')
}
