const { createCaches } = require('@stowage/core')
const { memory } = require('@stowage/memory')
const { createApp } = require('../src/app.js')

let caches
let server
let url

beforeEach((done) => {
  caches = createCaches({
    default: 'cache',
    stores: { cache: () => memory(), session: () => memory() },
  })
  server = createApp(caches).listen(0, '127.0.0.1', () => {
    url = `http://127.0.0.1:${server.address().port}`
    done()
  })
})

afterEach(async () => {
  await new Promise((resolve) => server.close(resolve))
  await caches.close()
})

test('a product is loaded once', async () => {
  const [first, second] = await Promise.all([
    fetch(`${url}/products/1`),
    fetch(`${url}/products/1`),
  ])
  expect(await second.json()).toEqual(await first.json())
  expect(await caches.use('cache').has('product:1')).toBe(true)
})

test('a session counts the visits of a browser', async () => {
  const first = await fetch(url)
  const cookie = first.headers.get('set-cookie').split(';')[0]
  expect(await (await fetch(url, { headers: { cookie } })).json()).toEqual({ visits: 2 })
  expect(await (await fetch(url)).json()).toEqual({ visits: 1 })
})
