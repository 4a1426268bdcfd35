"""The GLSL of the world renderer. World axes as everywhere: x right, y down, z forward."""

LIGHT = """
uniform vec3 light, shade, horizon, warm, sun, eye;
uniform float haze, lamps;
vec3 air(vec3 dir) {                       // colour of the haze in a horizontal direction
    float towards = max(dot(normalize(vec3(dir.x, 1e-4, dir.z)), normalize(vec3(sun.x, 0.0, sun.z))), 0.0);
    return mix(horizon, warm, towards * towards * towards);
}
"""

SOLID_VERTEX = (
    "#version 330\n"
    + LIGHT
    + """
uniform mat4 clip_from_world;
uniform float snow, autumn, wet;
uniform vec3 glow_at;                       // where something burns
uniform float glow_by;
in vec3 position, normal, colour;
in vec2 marks;
out vec3 v_colour, v_air, v_offset;
void main() {
    vec3 albedo = colour;
    float tint = fract(dot(floor(position * 0.5), vec3(0.37, 0.71, 0.53)));
    vec3 fall = mix(vec3(0.86, 0.38, 0.16), vec3(0.93, 0.68, 0.20), tint) * (0.45 + 0.8 * dot(colour, vec3(0.33)));
    albedo = mix(albedo, fall, autumn * marks.x);
    albedo = mix(albedo, vec3(0.95, 0.97, 1.0), snow * smoothstep(0.15, 0.6, -normal.y));
    albedo *= 1.0 - 0.12 * wet;
    float lit = clamp(dot(normal, sun) * 0.75 + 0.25, 0.0, 1.0);
    vec3 ambient = shade * (0.92 - 0.12 * normal.y);
    vec3 shone = albedo * mix(ambient, light, lit);
    vec3 to_glow = glow_at - position;
    float near_glow = glow_by / (1.0 + 0.06 * dot(to_glow, to_glow));
    shone += albedo * vec3(1.0, 0.55, 0.2) * near_glow * (0.6 + 0.4 * dot(normal, normalize(to_glow)));
    v_colour = mix(shone, vec3(1.0, 0.83, 0.48), marks.y < 1.2 ? marks.y * lamps : 0.0);
    v_colour = marks.y > 1.2 ? colour : v_colour;                    // neon, flames and the sky keep their colour
    vec3 offset = position - eye;
    v_offset = marks.y > 2.5 ? vec3(0.0) : offset;                   // sky things stand behind the haze
    v_air = air(offset);
    gl_Position = clip_from_world * vec4(position, 1.0);
}
"""
)

SOLID_FRAGMENT = """
#version 330
uniform float haze;
in vec3 v_colour, v_air, v_offset;
out vec4 pixel;
void main() {
    float clear = exp2(-1.4427 * haze * length(v_offset));
    pixel = vec4(mix(v_air, v_colour, clear), 1.0);
}
"""

GROUND_VERTEX = (
    "#version 330\n"
    + LIGHT
    + """
uniform mat4 clip_from_world;
in vec2 position;
out vec3 v_air;
out vec2 v_at;
void main() {
    v_at = position;
    v_air = air(vec3(position.x, 0.0, position.y) - eye);
    gl_Position = clip_from_world * vec4(position.x, 0.0, position.y, 1.0);
}
"""
)

GROUND_FRAGMENT = """
#version 330
uniform sampler2D painted;
uniform vec3 light, shade, plain, eye, glow_at;
uniform vec3 under_hero, under_visitor;      // (x, z, radius) of the soft shadows under characters
uniform float haze, snow, wet, extent, glow_by;
in vec3 v_air;
in vec2 v_at;
out vec4 pixel;
float clear_of(vec3 disc) {
    vec2 away = (v_at - disc.xy) / max(disc.z, 1e-3);
    return clamp(dot(away, away) - 0.3, 0.0, 1.0);
}
void main() {
    vec4 found = texture(painted, v_at / (2.0 * extent) + 0.5);
    float edge = clamp((max(abs(v_at.x), abs(v_at.y)) - extent + 10.0) / 8.0, 0.0, 1.0);
    found = mix(found, vec4(plain, 1.0), edge);
    found.a *= clear_of(under_hero) * clear_of(under_visitor);
    vec3 albedo = mix(found.rgb, vec3(0.93, 0.95, 1.0), snow * 0.9) * (1.0 - 0.2 * wet);
    vec3 shone = albedo * mix(shade, light, found.a * 0.92);
    vec2 to_glow = glow_at.xz - v_at;
    shone += albedo * vec3(1.0, 0.5, 0.15) * glow_by / (1.0 + 0.09 * dot(to_glow, to_glow));
    float clear = exp2(-1.4427 * haze * length(vec3(v_at.x, 0.0, v_at.y) - eye));
    pixel = vec4(mix(v_air, shone, clear), 1.0);
}
"""

SKY_VERTEX = """
#version 330
uniform mat3 world_from_camera;
uniform vec2 slope;                          // tangents of the half field of view, signed towards clip space
in vec2 position;
out vec3 v_dir;
void main() {
    v_dir = world_from_camera * vec3(position * slope, 1.0);
    gl_Position = vec4(position, 1.0, 1.0);
}
"""

SKY_FRAGMENT = (
    "#version 330\n"
    + LIGHT
    + """
uniform vec3 zenith, disc;
uniform float disc_by;
in vec3 v_dir;
out vec4 pixel;
void main() {
    vec3 dir = normalize(v_dir);
    float rise = clamp(-dir.y * 1.6, 0.0, 1.0);
    vec3 colour = mix(air(dir), zenith, rise * (2.0 - rise));
    float towards = max(dot(dir, sun), 0.0);
    float broad = towards * towards; broad *= broad; broad *= broad;
    colour = mix(colour, disc, disc_by * (0.22 * broad * broad + smoothstep(0.9972, 0.9982, towards)));
    pixel = vec4(colour, 1.0);
}
"""
)

FLAT_VERTEX = """
#version 330
uniform float extent;
in vec2 position;
in vec4 colour;
out vec4 v_colour;
void main() { v_colour = colour; gl_Position = vec4(position / extent, 0.0, 1.0); }
"""

SHADOW_VERTEX = """
#version 330
uniform float extent;
uniform vec3 sun;
in vec3 position;
out vec4 v_colour;
void main() {
    vec2 fallen = position.xz - sun.xz * (position.y / min(sun.y, -0.3));
    v_colour = vec4(0.0);
    gl_Position = vec4(fallen / extent, 0.0, 1.0);
}
"""

PLAIN_FRAGMENT = """
#version 330
in vec4 v_colour;
out vec4 pixel;
void main() { pixel = v_colour; }
"""

AIRBORNE_VERTEX = """
#version 330
uniform mat4 clip_from_world;
uniform mat3 world_from_camera;
uniform vec3 eye, fall, room;                // velocity in metres a second; size of the box around the eye
uniform vec2 size;                           // half width and half length, metres
uniform float time_s, flutter;
in vec4 seed;                                // a point of the unit box, and a phase
in vec2 corner;
out vec2 v_corner;
void main() {
    vec3 at = seed.xyz * room + fall * time_s;
    at.xz += flutter * vec2(sin(time_s * 1.7 + seed.w * 40.0), cos(time_s * 1.3 + seed.w * 60.0));
    at = mod(at - eye, room) - 0.5 * room;
    vec3 along = flutter > 0.0 ? world_from_camera[1] : normalize(fall);
    vec3 across = world_from_camera[0];
    vec3 world = eye + at + across * corner.x * size.x + along * corner.y * size.y;
    v_corner = corner;
    gl_Position = dot(at, world_from_camera[2]) < 1.2 ? vec4(2.0, 2.0, 2.0, 1.0) : clip_from_world * vec4(world, 1.0);
}
"""

AIRBORNE_FRAGMENT = """
#version 330
uniform vec4 tint;
in vec2 v_corner;
out vec4 pixel;
void main() { pixel = vec4(tint.rgb, tint.a * clamp(2.2 - 2.2 * dot(v_corner, v_corner), 0.0, 1.0)); }
"""

WATER_FRAGMENT = (
    "#version 330\n"
    + LIGHT
    + """
uniform vec3 zenith, shore;                  // shore: unit (x, z) towards the sea, and metres to its edge
uniform float time_s;
in vec3 v_at;
out vec4 pixel;
void main() {
    float out_at_sea = dot(v_at.xz, shore.xy) - shore.z;
    vec3 offset = v_at - eye;
    float far = length(offset);
    vec3 dir = offset / far;
    float wave = sin(v_at.x * 0.9 + v_at.z * 0.5 + time_s * 1.1) * sin(v_at.z * 0.8 - v_at.x * 0.35 - time_s * 0.8);
    float graze = 1.0 - abs(dir.y);
    float mirror = graze * graze * graze;
    vec3 deep = mix(vec3(0.16, 0.36, 0.44), vec3(0.20, 0.48, 0.52), 0.5 + 0.5 * wave) * light;
    vec3 colour = mix(deep, mix(air(dir), zenith, 0.35 + 0.15 * wave), 0.15 + 0.75 * mirror);
    float shallow = clamp(1.0 - out_at_sea / 9.0, 0.0, 1.0);
    colour = mix(colour, vec3(0.45, 0.78, 0.76) * light, 0.55 * shallow);
    float lap = out_at_sea - 0.5 - 0.45 * sin(time_s * 0.9 + v_at.x * 0.15 - v_at.z * 0.1);
    float foam = clamp(1.0 - abs(lap) * 2.2, 0.0, 1.0);
    colour = mix(colour, vec3(1.05) * light, 0.8 * foam);
    float clear = exp2(-1.4427 * haze * far);
    float cover = clamp(lap + 0.6, 0.0, 1.0) * mix(0.78 + 0.2 * mirror, 0.62, shallow);
    pixel = vec4(mix(air(dir), colour, clear), max(cover, 0.8 * foam));
}
"""
)

WATER_VERTEX = """
#version 330
uniform mat4 clip_from_world;
uniform float level;
in vec2 position;
out vec3 v_at;
void main() {
    v_at = vec3(position.x, -level, position.y);
    gl_Position = clip_from_world * vec4(v_at, 1.0);
}
"""
