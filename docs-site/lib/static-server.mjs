import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'

const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
}

/** Serves the files of a folder on a loopback port, by default a free one, with /page for page.html. */
export async function serve(folder, port = 0) {
  const server = createServer((request, response) => {
    const found = fileOf(folder, new URL(request.url, 'http://localhost').pathname)
    const file = found ?? join(folder, '404.html')
    response.statusCode = found === undefined ? 404 : 200
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream')
    response.end(readFileSync(file))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

/** The file for a path of the site; `undefined` if there is none. */
export function fileOf(folder, pathname) {
  const path = join(folder, normalize(decoded(pathname)))
  const candidates = path.endsWith('/') ? [`${path}index.html`] : [`${path}.html`, path]
  return candidates.find((candidate) => /\.\w+$/.test(candidate) && existsSync(candidate))
}

/** A path with an invalid escape is that of no file. */
function decoded(pathname) {
  try {
    return decodeURIComponent(pathname)
  } catch {
    return pathname
  }
}
