import { describe, expect, test } from 'vitest'
import { hasBody, joinItem, parseItem } from '../src/data/session-item.ts'
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

/** Items, some with a body that begins or ends like another one, and some that only another program writes. */
const stamps = [
  [1, now, now],
  [1, null, now, 1],
  [1, now, now, 0, now + 5],
]
const bodies = [
  '{}',
  '{"a":1}',
  '{"a":12}',
  '{"a":1,"b":2}',
  '{"b":2}',
  '{"a":{"cookie":{}}}',
  '{"a":"},"}',
  '{"a":"]"}',
  '{"é":"ü"}',
]
const cookies = [undefined, {}, { path: '/' }, { path: '/}' }, cookieOf(86_400_000, now)]
const joined = stamps.flatMap((each) =>
  bodies.flatMap((body) => cookies.map((one) => joinItem(each, { body, cookie: one }))),
)
const foreign = [
  `{"~":${stamp},"a":1,"cookie":{},"b":2}`,
  `{"~":${stamp},"cookie":{},"a":1}`,
  `{"~":${stamp},"a":1,"cookie":{}} `,
  `{"~":${stamp}, "a":1}`,
  `{"~":[1,${now},${now},1,${now},"],"],"a":1}`,
  `{"a":1,"~":${stamp}}`,
  `{"a":1}`,
]

test('an item has the body that is cut out of it, and no other one', () => {
  for (const json of [...joined, ...foreign]) {
    for (const body of bodies) {
      const text = () => parseItem(JSON.parse(json), json)?.session.text
      const [cut, compared] = [text(), text()]
      if (cut === undefined || compared === undefined) throw new Error(`not a session: ${json}`)
      expect(hasBody(compared, body), `${json} has ${body}`).toBe(cut.body === body)
    }
  }
})
