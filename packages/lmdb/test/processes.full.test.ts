import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lmdb } from '@stowage/lmdb'
import { expect, test } from 'vitest'
import { fillFile, killRounds } from './processes/harness.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const reading = new URL('processes/read-until-killed.mjs', import.meta.url)

async function startReader(path: string): Promise<ChildProcess> {
  const reader = fork(reading, [path], { execArgv: [] })
  await once(reader, 'message')
  return reader
}

test('a process that is killed loses nothing that was acknowledged, with durability power', async () => {
  const path = join(folder, 'power')
  const { problems } = await killRounds({ path, rounds: 3, durability: 'power' })
  expect(problems).toEqual([])
})

test('a process that is killed while it reads does not make the file grow', async () => {
  const path = join(folder, 'readers')
  const store = lmdb({ path, maxBytes: '8MiB', sweepInterval: '20ms' })
  await store.set('key', 'value')
  const readers = await Promise.all(Array.from({ length: 3 }, () => startReader(path)))
  for (const reader of readers) {
    reader.kill('SIGKILL')
    await once(reader, 'exit')
  }
  const body = randomBytes(20_000)
  for (let round = 0; round < 100; round++) {
    await store.setMany(Array.from({ length: 20 }, (_, index) => [`${round}:${index}`, body]))
    await sleep(5)
  }
  expect(statSync(join(path, 'data.mdb')).size).toBeLessThan(10 * 2 ** 20)
  await store.close()
})

test('the file and the memory of a process stay small under many writes', async () => {
  const { problems } = await fillFile({ path: join(folder, 'fill'), bytes: 300 * 2 ** 20 })
  expect(problems).toEqual([])
})
