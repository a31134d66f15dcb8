import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { command, type RedisServer } from '@stowage/test-servers'
import { expect } from 'vitest'

/** The working folders of the servers, which are removed when the servers are stopped. */
export async function foldersOf(servers: readonly RedisServer[]): Promise<string[]> {
  const replies = await Promise.all(
    servers.map(({ port }) => command(port, 'CONFIG', 'GET', 'dir')),
  )
  return replies.map((reply) => (reply as string[])[1] as string)
}

/** Fails if a server still runs or one of the folders still exists. */
export function expectGone(servers: readonly RedisServer[], folders: readonly string[]): void {
  expect(servers.filter(({ pid }) => isRunning(pid))).toEqual([])
  expect(folders.filter((folder) => existsSync(folder))).toEqual([])
}

/** Redis processes that this process has started, as lines of `ps`. */
export function childServers(): string[] {
  const processes = execFileSync('ps', ['-A', '-o', 'ppid=,comm='], { encoding: 'utf8' })
  return processes
    .split('\n')
    .filter((line) => /redis/.test(line) && Number.parseInt(line, 10) === process.pid)
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
