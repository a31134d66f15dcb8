import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { BackendReport, Finding, StoreDiagnostics } from '@stowage/core/tools'
import { dangerOf } from './opening/directory.ts'

/** Returns the diagnostics of a store in this directory. Other than a command, they do not create it. */
export function lmdbDiagnostics(path: string): StoreDiagnostics {
  return { check: async () => check(path), locate: async () => path }
}

function check(address: string): BackendReport {
  const problem = problemOf(resolve(address)) ?? dangerIn(address) ?? lockedFileIn(address)
  const status = existsSync(address) ? 'exists' : 'not created yet'
  const size = problem === undefined && existsSync(address) ? { memory: sizeOf(address) } : {}
  const server = { address, role: 'directory', facts: { status, ...size } }
  const findings: Finding[] = []
  if (problem !== undefined) {
    const remedy = 'Set CACHE_PATH or SESSION_PATH to a directory that this user may write.'
    findings.push({ code: 'lmdb-directory', severity: 'error', subject: address, problem, remedy })
  }
  return { servers: [{ ...server, isReachable: problem === undefined }], findings }
}

/** Why the directory, or the nearest one above it that exists, cannot be used. */
function problemOf(path: string): string | undefined {
  if (!existsSync(path)) return problemOf(dirname(path))
  if (!statSync(path).isDirectory()) return `${path} is not a directory.`
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return `The directory cannot be written (${(error as NodeJS.ErrnoException).code}).`
  }
}

/** Why it is not safe from other users. */
function dangerIn(path: string): string | undefined {
  const danger = existsSync(path) ? dangerOf(path) : undefined
  return danger && `The directory cannot be used: ${danger}.`
}

/** Which of its files this user may not use. */
function lockedFileIn(path: string): string | undefined {
  for (const name of ['data.mdb', 'lock.mdb', 'writer.mdb', 'writer.mdb-lock']) {
    const file = join(path, name)
    try {
      if (existsSync(file)) accessSync(file, constants.R_OK | constants.W_OK)
    } catch (error) {
      return `Its file ${name} cannot be read and written (${(error as NodeJS.ErrnoException).code}).`
    }
  }
  return undefined
}

function sizeOf(path: string): string {
  const files = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, { name }) => sum + statSync(join(path, name)).size, 0)
  return `${(bytes / 1024 / 1024).toFixed(1)}M`
}
