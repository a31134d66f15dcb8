import { describe, expect, test } from 'vitest'
import { cookieOf, readExisting, setup } from './fixture.ts'

const now = 1_700_000_000_000
const stamp = `[1,${now + 86_400_000},${now}]`
const cookie = JSON.stringify(cookieOf(86_400_000, now))

/** The JSON of items that have the same meaning. Only the first is what this package writes. */
const items = {
  'as it is written here': `{"~":${stamp},"user":{"cookie":${cookie}},"n":1,"cookie":${cookie}}`,
  'with the cookie first': `{"~":${stamp},"cookie":${cookie},"n":1,"user":{"cookie":${cookie}}}`,
  'with the stamp last': `{"user":{"cookie":${cookie}},"n":1,"cookie":${cookie},"~":${stamp}}`,
  'with spaces': `{ "~": ${stamp}, "user": {"cookie": ${cookie}}, "n": 1, "cookie": ${cookie} }`,
}

describe.each(Object.entries(items))('an item %s', (_, item) => {
  test('is merged with the changes of another request, and stays unchanged without changes', async () => {
    const { one, two, backend, calls } = setup()
    await one.create('id', { n: 0 })
    const [key] = await one.keys()
    const storageKey = `s:${key}`
    await backend.set(storageKey, item as never)
    const [first, second] = [await readExisting(one), await readExisting(two)]
    first.n = 2
    delete second.user
    second.added = 'é'
    expect(await one.update('id', first)).toBe('saved')
    expect(await two.update('id', second)).toBe('saved')
    const stored = Buffer.from((await backend.get(storageKey)) as Uint8Array).toString()
    expect(JSON.parse(stored)).toMatchObject({ n: 2, added: 'é', cookie: JSON.parse(cookie) })
    expect(stored).not.toContain('user')
    const unchanged = await readExisting(one)
    calls.length = 0
    expect(await one.update('id', unchanged)).toBe('unchanged')
    expect(calls).toEqual([])
  })
})

test('a session without fields, and one with numbers as keys, are stored and found unchanged', async () => {
  const { one } = setup()
  for (const session of [{}, { 7: 'seven', b: 1, 1: 'one' }]) {
    const id = `id of ${JSON.stringify(session)}`
    await one.create(id, session)
    const read = await readExisting(one, id)
    expect(read).toEqual(session)
    expect(one.inspect(read)).toMatchObject({ isDue: false, body: JSON.stringify(session) })
    expect(one.storedText(read)?.body).toBe(JSON.stringify(session))
  }
})
