import { expect, test } from 'vitest'
import { WaitingClients } from '../../src/exchange/clients.ts'

test('the end of a rendering that was stopped leaves the clients of the next one', async () => {
  const clients = new WaitingClients()
  const leave = clients.join('key', null)
  let release = () => {}
  const stopped = new Promise<void>((resolve) => {
    release = clients.onLeft('key', resolve)
  })
  leave()
  await stopped
  const leaveNext = clients.join('key', null)
  release()
  expect(clients.has('key')).toBe(true)
  leaveNext()
  expect(clients.has('key')).toBe(false)
})
