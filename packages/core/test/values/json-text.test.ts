import { Cache, type Codec, compressed, encrypted, json, structured } from '@stowage/core'
import { JsonText } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

const value = { name: 'Ada', tags: ['a', 'é'] }
const text = JSON.stringify(value)
const keys = [`a:${Buffer.alloc(32, 1).toString('base64')}`]
const codecs: Record<string, Codec> = {
  json: json(),
  compressed: compressed(json(), { from: 8 }),
  encrypted: encrypted(json(), { keys }),
  structured: structured(),
}

describe.each(Object.keys(codecs))('JsonText with the codec %s', (name) => {
  test('is read back as the value, on a store of bytes and by reference', async () => {
    for (const values of ['bytes', 'shared'] as const) {
      const cache = new Cache(memory({ values }), { codec: codecs[name] })
      await cache.set('k', new JsonText(text))
      expect(await cache.get('k')).toEqual(value)
      const next = await (await cache.snapshot('k')).swap(new JsonText('[1]'))
      expect(next?.value).toEqual([1])
      expect(await cache.get('k')).toEqual([1])
    }
  })

  test('the text of a snapshot is that of its value, or unknown', async () => {
    const cache = new Cache(memory({ values: 'bytes' }), { codec: codecs[name] })
    await cache.set('k', value)
    const snapshot = await cache.snapshot('k')
    expect(snapshot.jsonText).toBe(name === 'json' ? text : undefined)
    expect((await snapshot.swap(2))?.jsonText).toBe(name === 'json' ? '2' : undefined)
    expect((await cache.snapshot('missing')).jsonText).toBeUndefined()
  })
})

test('the text of bytes, and of values with facts, is unknown', async () => {
  const cache = new Cache(memory({ values: 'bytes' }))
  await cache.set('bytes', Buffer.from('{}'))
  await cache.set('tagged', value, { tags: ['t'] })
  expect((await cache.snapshot('bytes')).jsonText).toBeUndefined()
  expect((await cache.snapshot('tagged')).jsonText).toBeUndefined()
})

test('another copy of the class, and JSON.stringify, recognise it', () => {
  expect(JsonText.is(new JsonText('1'))).toBe(true)
  expect(JsonText.is({ text: '1' })).toBe(false)
  expect(JSON.stringify([new JsonText('{"a":1}')])).toBe('[{"a":1}]')
})
