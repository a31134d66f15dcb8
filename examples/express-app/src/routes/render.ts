import type { Html } from '@stowage/example-shared'
import type { Request, Response } from 'express'
import { sessionError } from '../session.ts'
import { layout, type Viewer } from '../views/layout.ts'

/** Sends the page in the layout for the current user. */
export function render(req: Request, res: Response, title: string, body: Html): void {
  const isOutagePage = res.statusCode === 503
  res.type('html').send(layout({ title, viewer: viewerOf(req, res), body, isOutagePage }))
}

function viewerOf(req: Request, res: Response): Viewer {
  const sessionsDown = sessionError(res) !== undefined
  // `req.session` is undefined after signing out, and if the store failed to load it.
  const name = sessionsDown ? undefined : (req.session as Request['session'] | undefined)?.name
  return { path: req.path, name, sessionsDown }
}
