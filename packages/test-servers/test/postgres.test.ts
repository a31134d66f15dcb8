import { existsSync, readlinkSync } from 'node:fs'
import { startPostgres } from '@stowage/test-servers'
import { expect, test } from 'vitest'
import { isPortFree } from '../src/process/ports.ts'

test('PostgreSQL starts again on its port after it was killed, and leaves nothing behind', async () => {
  const server = await startPostgres()
  const folder = readlinkSync(`/proc/${server.pid}/cwd`)
  const before = server.pid
  await server.crash()
  expect(await isPortFree(server.port)).toBe(true)
  await server.restart()
  expect(server.pid).not.toBe(before)
  expect(await isPortFree(server.port)).toBe(false)
  expect(existsSync(folder)).toBe(true)
  server.kill('SIGSTOP')
  await server.stop()
  expect(existsSync(folder)).toBe(false)
  expect(await isPortFree(server.port)).toBe(true)
})
