import { expect, onTestFinished, test, vi } from 'vitest'
import { Connection } from '../../src/connection/connection.ts'
import { memcached } from '../../src/index.ts'
import { isServerCounter } from '../../src/items/read-unchanged.ts'
import { useOneServer } from '../one-server.ts'

const server = useOneServer()

test.each([
  ['0', true],
  ['18446744073709551615', true],
  ['9 ', true],
  ['-1', false],
  ['1.5', false],
  ['1 2', false],
  ['', false],
  ['a1', false],
  [`9${' '.repeat(24)}`, false],
])('the server may increment %o: %s', (text, expected) => {
  expect([isServerCounter(text), isServerCounter(Buffer.from(text))]).toEqual([expected, expected])
})

test.each([
  ['replaced', '9'],
  ['deleted', undefined],
])(
  'a counter is not %s after an increment, although it was read with the id of the sum',
  async (_, next) => {
    const store = memcached({ servers: [`127.0.0.1:${server.port}`], timeout: '20s' })
    onTestFinished(() => store.close())
    await store.set('raced', '1')
    const seen = (await store.get('raced')) as Buffer
    await store.increment('raced', 3)
    // What memcached does while one of its threads increments the item, and another one sends it.
    const { get } = Connection.prototype
    const reads = vi.spyOn(Connection.prototype, 'get')
    onTestFinished(() => reads.mockRestore())
    reads.mockImplementationOnce(async function (this: Connection, operation, key, read) {
      const found = await get.call(this, operation, key, read)
      return { ...(found as object), value: seen } as never
    })
    expect(await store.compareAndSet('raced', seen, next)).toBe(false)
    expect(String(await store.get('raced'))).toBe('4')
  },
)
