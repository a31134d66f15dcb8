import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder per contestant instead of a server. */
export async function startFolders() {
  const root = mkdtempSync(join(tmpdir(), 'stowage-bench-'))
  let round = 0
  return {
    pids: [],
    addressOf: (contestant) => {
      const path = join(root, String(round), contestant)
      mkdirSync(path, { recursive: true })
      return { path }
    },
    reset: () => round++,
    stop: async () => rmSync(root, { recursive: true, force: true }),
  }
}
