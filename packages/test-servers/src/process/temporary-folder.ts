import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atExit } from './at-exit.ts'

/** How often a folder is removed until it stays so. */
const maxRemovals = 50
/** Processes of a container may share the folder, but not the ids of processes. */
const abandonedAfterMs = 3_600_000

export interface TemporaryFolder {
  readonly path: string
  readonly remove: () => void
}

/**
 * Creates a folder for a server, which is removed by `remove()`, when this process exits, or, if that was killed, with a
 * later call. Its name begins with `stowage-`, the kind and the id of this process.
 *
 * @param parent the folder in which it is created
 */
export function temporaryFolder(kind: string, parent: string = tmpdir()): TemporaryFolder {
  const prefix = `stowage-${kind}-`
  removeAbandoned(prefix)
  const path = mkdtempSync(join(parent, `${prefix}${process.pid}-`))
  const cancel = atExit(() => removeFolder(path))
  const remove = () => {
    removeFolder(path)
    cancel()
  }
  return { path, remove }
}

/**
 * Removes the folder of a server that has been killed. A child of the server lives a moment longer, and may create a file
 * meanwhile, after which `rmSync` fails however often it retries.
 */
function removeFolder(path: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 })
      return
    } catch (error) {
      if (attempt === maxRemovals) throw error
    }
  }
}

/** Removes folders whose process was killed. A server of PostgreSQL ends when its folder is missing. */
function removeAbandoned(prefix: string): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue
    const [pid = ''] = name.slice(prefix.length).split('-')
    const path = join(tmpdir(), name)
    if (/^\d+$/.test(pid) && !exists(Number(pid)) && isOld(path)) removeFolder(path)
  }
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

function isOld(path: string): boolean {
  const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity }
  return Date.now() - mtimeMs > abandonedAfterMs
}
