// scimmy-routers over Express, resources in a Map, as its documentation shows. Usage: node scim_peers.mjs PORT TOKEN
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);

function declare(Resource) {
    const kept = new Map();
    SCIMMY.Resources.declare(Resource)
        .ingress((resource, data) => {
            const known = resource.id ? kept.get(resource.id) : undefined;
            if (resource.id && !known) throw new SCIMMY.Types.Error(404, null, `Resource ${resource.id} not found`);
            const now = new Date();
            const row = {
                ...data,
                id: known?.id ?? randomUUID(),
                meta: { created: known?.meta.created ?? now, lastModified: now },
            };
            kept.set(row.id, row);
            return row;
        })
        .egress((resource) => {
            if (!resource.id) return [...kept.values()];
            const row = kept.get(resource.id);
            if (!row) throw new SCIMMY.Types.Error(404, null, `Resource ${resource.id} not found`);
            return row;
        })
        .degress((resource) => {
            if (!kept.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, "Resource not found");
        });
}

declare(SCIMMY.Resources.User);
SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser, false);
declare(SCIMMY.Resources.Group);

const app = express();
app.use(
    "/v2",
    new SCIMMYRouters({
        type: "bearer",
        handler: (request) => {
            if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("wrong token");
            return "bench";
        },
    }),
);
app.listen(Number(port), "127.0.0.1");
