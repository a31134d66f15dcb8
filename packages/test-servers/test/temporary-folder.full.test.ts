import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { isPortFree } from '../src/process/ports.ts'
import { temporaryFolder } from '../src/process/temporary-folder.ts'

/** Starts PostgreSQL, prints where, and stays until it is ended. */
const program = `
  import { readlinkSync } from 'node:fs'
  import { startPostgres } from '@stowage/test-servers'
  const { pid, port } = await startPostgres()
  console.log(JSON.stringify({ folder: readlinkSync('/proc/' + pid + '/cwd'), port }))
  setInterval(() => {}, 60_000)`

test('a process that is terminated leaves no server and no folder', async () => {
  const child = start()
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  const { folder, port } = JSON.parse(line)
  expect(existsSync(folder)).toBe(true)
  child.kill('SIGTERM')
  await exited
  expect(existsSync(folder)).toBe(false)
  await expect.poll(() => isPortFree(port)).toBe(true)
})

function start() {
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

test('the folder of a process that was killed is removed later', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  const abandoned = join(tmpdir(), `stowage-test-${child.pid}-abandoned`)
  const recent = join(tmpdir(), `stowage-test-${child.pid}-recent`)
  for (const path of [abandoned, recent]) mkdirSync(path)
  utimesSync(abandoned, 0, 0)
  const folder = temporaryFolder('test')
  expect([abandoned, recent, folder.path].map((path) => existsSync(path))).toEqual([
    false,
    true,
    true,
  ])
  folder.remove()
  utimesSync(recent, 0, 0)
  temporaryFolder('test').remove()
  expect([recent, folder.path].filter((path) => existsSync(path))).toEqual([])
})
