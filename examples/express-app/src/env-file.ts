import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import type { Variables } from '@stowage/core/driver'

/**
 * Adds the variables of `.env` in `folder`, or of `.env.production` with `NODE_ENV=production`. Variables that are
 * already set take precedence over the file.
 */
export function withEnvFile(variables: Variables, folder: URL): Variables {
  const name = variables.NODE_ENV === 'production' ? '.env.production' : '.env'
  return { ...parseEnv(readIfExists(new URL(name, folder))), ...variables }
}

function readIfExists(file: URL): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    // The file is optional: in a container, all variables may come from the environment.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
