import { spawnSync } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Environment } from '../file/environment.ts'
import { checkHeader } from '../file/file-header.ts'
import { Gate } from '../file/gate.ts'
import { DamageError, isDamage } from '../lmdb-errors.ts'
import type { ResolvedLmdbOptions } from '../lmdb-options.ts'
import { prepareDirectory } from './directory.ts'
import { StateFile } from './file-state.ts'
import { checkResources } from './resources.ts'

type OpenOptions = Pick<ResolvedLmdbOptions, 'path' | 'maxBytes' | 'durability' | 'onDamage'>

/**
 * Opens the file in the directory, or creates it, and executes `use` before another process writes to it. A damaged or
 * foreign file is moved aside with `onDamage: 'reset'`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` with the remedy
 * @throws BusyError while another process writes
 * @throws DamageError, or the error of the library, with `onDamage: 'error'`
 */
export function openFile<T>(options: OpenOptions, use: (environment: Environment) => T): T {
  prepareDirectory(options.path)
  checkResources(options.path, sizeOfData(options.path))
  const gate = new Gate(options.path)
  try {
    return gate.run(() => use(openOrReset(options, gate)))
  } catch (error) {
    gate.close()
    throw error
  }
}

function openOrReset(options: OpenOptions, gate: Gate): Environment {
  try {
    return open(options, gate)
  } catch (error) {
    if (!isDamage(error) || options.onDamage === 'error') throw error
    moveAside(options.path, reasonOf(error))
    checkResources(options.path, 0)
    return open(options, gate)
  }
}

function open(options: OpenOptions, gate: Gate): Environment {
  const { path, maxBytes, durability } = options
  const stateFile = new StateFile(path)
  const state = stateFile.read()
  const size = sizeOfData(path)
  if (state === undefined && size > 0) throw new DamageError('was not created by Stowage')
  if (size > 0) checkHeader(join(path, 'data.mdb'))
  // Without a file, nothing can be damaged.
  const exists = existsSync(join(path, 'data.mdb'))
  if (exists && state !== undefined && StateFile.mayBeTorn(state)) checkAfterCrash(options)
  stateFile.write(false, state)
  return new Environment({ gate, path, maxBytes, noSync: durability === 'process' })
}

function sizeOfData(path: string): number {
  return statSync(join(path, 'data.mdb'), { throwIfNoEntry: false })?.size ?? 0
}

/**
 * After a restart of the machine without `close()`, the last writes may be missing in a file whose commits do not wait for
 * the disk. A cache starts empty, because old values could appear again. Sessions are kept if the whole file is readable.
 */
function checkAfterCrash({ path, durability, onDamage }: OpenOptions): void {
  if (durability === 'power' || (onDamage === 'error' && isReadable(path))) return
  throw new DamageError('may be damaged, because the machine was restarted while it was open')
}

/** Moves the file aside that a process has found to be damaged, unless another process has done so. */
export function setAside(path: string, environment: Environment, reason: string): void {
  environment.guarded(() => {
    if (!environment.isReplaced()) moveAside(path, reason)
  })
}

function moveAside(path: string, reason: string): void {
  const data = join(path, 'data.mdb')
  const movedTo = `${data}.${new Date().toISOString().replace(/[:.]/g, '-')}-${process.pid}`
  rmSync(join(path, 'state.json'), { force: true })
  renameSync(data, movedTo)
  // The locks belong to the file: processes that have it open continue to use both.
  const lock = join(path, 'lock.mdb')
  if (existsSync(lock)) renameSync(lock, `${movedTo}-lock`)
  publish({ type: 'set-aside', path, movedTo, reason })
}

function reasonOf(error: unknown): string {
  return error instanceof DamageError ? error.message : 'is damaged'
}

const timeoutMs = 60_000

/** Reads every key and value. In another process, because a damaged page may end the process that reads it. */
const program = `
  const [library, path] = process.argv.slice(1)
  const root = require(library).open({ path, noSubdir: false, readOnly: true, encoding: 'binary', pageSize: 4096 })
  for (const name of ['items', 'chunks', 'expiry', 'meta']) {
    const table = root.openDB(name, { encoding: 'binary', keyEncoding: 'binary' })
    if (table) for (const { key, value } of table.getRange({ snapshot: true })) key.length + value.length
  }
  process.exit(0)
`

/** Whether the whole file in the directory is readable. */
function isReadable(path: string): boolean {
  const library = createRequire(import.meta.url).resolve('lmdb')
  const options = { timeout: timeoutMs, stdio: 'ignore' } as const
  return spawnSync(process.execPath, ['--eval', program, library, path], options).status === 0
}

/** Published on the diagnostics channel `stowage:lmdb`. */
export interface LmdbEvent {
  /** The file was moved aside, and the cache is empty. */
  readonly type: 'set-aside'
  /** Directory of the store. */
  readonly path: string
  /** Where the damaged or foreign file is now. */
  readonly movedTo: string
  /** Completes the sentence "the file …". */
  readonly reason: string
}

const events = channel('stowage:lmdb')

/** Publishes the event, and emits a warning of the process. */
function publish(event: LmdbEvent): void {
  events.publish(event)
  process.emitWarning(
    `The file in ${event.path} ${event.reason}. It was moved to ${event.movedTo}; the cache starts empty.`,
    { code: 'STOWAGE_LMDB_SET_ASIDE' },
  )
}
