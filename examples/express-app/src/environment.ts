import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import type { Variables } from '@stowage/core'

/**
 * The variables of the process, completed by `.env.production` (with `NODE_ENV=production`) or `.env` in
 * `folder`. What is already set wins, so a file never overrides the machine it runs on.
 */
export function completeFromFile(variables: Variables, folder: URL): Variables {
  const name = variables.NODE_ENV === 'production' ? '.env.production' : '.env'
  return { ...parseEnv(textOf(new URL(name, folder))), ...variables }
}

function textOf(file: URL): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // Configured by variables alone, as in a container, the app needs no file.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
