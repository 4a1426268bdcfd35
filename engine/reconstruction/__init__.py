"""3D reconstruction (WorldPlay 4.3, E.1): posed views with depth become a point cloud or a mesh, and files of them."""
