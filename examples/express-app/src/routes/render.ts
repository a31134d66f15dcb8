import type { Request, Response } from 'express'
import { sessionError } from '../session.ts'
import type { Html } from '../views/html.ts'
import { layout, type Viewer } from '../views/layout.ts'

/** Sends the page in the frame that fits who asks. */
export function render(req: Request, res: Response, title: string, body: Html): void {
  const explained = res.statusCode === 503
  res.type('html').send(layout({ title, viewer: viewerOf(req, res), body, explained }))
}

function viewerOf(req: Request, res: Response): Viewer {
  const sessionsDown = sessionError(res) !== undefined
  // There is no session after signing out, or where its store failed before it was read.
  const name = sessionsDown ? undefined : (req.session as Request['session'] | undefined)?.name
  return { path: req.path, name, sessionsDown }
}
